(() => {
  const root = document.getElementById("%(id)s");
  if (!root || root.dataset.alive) return;
  root.dataset.alive = "yes";
  const quiz = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const [form, verdict, before] = ["form", ".verdict", ".before"].map(part => root.querySelector(part));
  const boxes = [...form.querySelectorAll("input")];
  const key = "what-transfers/prediction/" + quiz.key;
  const load = () => { try { return localStorage.getItem(key); } catch { return null; } };
  const save = value => { try { localStorage.setItem(key, value); } catch { } };
  const say = (html, state = "") => { verdict.innerHTML = html; verdict.className = "verdict " + state; };
  const judge = (right, html) => say("<strong>" + (right ? "Right." : "No.") + "</strong> " + html,
                                     right ? "right" : "wrong");
  const answer = () => {
    if (quiz.kind === "number") {
      const value = Number(boxes[0].value.trim().replace(",", ".").replace("\u2212", "-") || NaN);
      if (Number.isNaN(value)) return say("Type a number.");
      const hit = quiz.cases.findIndex(([low, high]) => low <= value && value <= high);
      return judge(hit === 0, hit < 0 ? quiz.otherwise : quiz.cases[hit][2]);
    }
    const ticked = boxes.map(box => box.checked);
    if (quiz.kind === "several") {
      const words = [...form.querySelectorAll("label span")].map(span => span.innerHTML);
      const list = (chosen, mark) => "<ul>" + quiz.options.map((option, k) => chosen(option, k) ?
        "<li>" + mark(k) + words[k] + "<br>" + option.why + "</li>" : "").join("") + "</ul>";
      if (quiz.options.every((option, k) => option.right === ticked[k])) {
        return judge(true, list(option => option.right, () => ""));
      }
      if (!ticked.includes(true)) return say("Tick what is right first.");
      return say("<strong>Not yet.</strong>" + list((option, k) => option.right !== ticked[k],
                 k => ticked[k] ? "<em>Not this:</em> " : "<em>This too:</em> "), "wrong");
    }
    const k = ticked.indexOf(true);
    if (k < 0) return say("Choose an answer first.");
    if (quiz.kind === "one") return judge(quiz.options[k].right, quiz.options[k].why);
    save(k);
    say(quiz.options[k].why);
    document.dispatchEvent(new CustomEvent(key, {detail: k}));
  };
  const recall = k => {
    if (k === null || !boxes[+k]) return;
    boxes[+k].checked = true;
    if (before) { before.textContent = "You predicted " + quiz.options[+k].name + "."; before.hidden = false; say(""); }
  };
  form.addEventListener("submit", event => { event.preventDefault(); answer(); });
  form.addEventListener("input", () => say(""));
  if (quiz.key) recall(load());
  if (before) document.addEventListener(key, event => recall(event.detail));
  root.querySelector("details").hidden = true;
  form.hidden = false;
})();
