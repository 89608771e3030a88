(() => {
  const root = document.getElementById("%(id)s");
  if (!root || root.dataset.alive) return;
  root.dataset.alive = "yes";
  const {labels, frames} = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const [picture, button] = ["img", "button"].map(tag => root.querySelector(tag));
  const [sliders, outputs] = ["input", "output"].map(tag => [...root.querySelectorAll(tag)]);
  let timer = 0;
  const show = () => {
    const at = sliders.reduce((index, slider, k) => index * labels[k].length + +slider.value, 0);
    picture.src = frames[at].src || "data:image/svg+xml," + encodeURIComponent(frames[at].svg);
    picture.alt = frames[at].alt;
    sliders.forEach((slider, k) => {
      outputs[k].textContent = labels[k][+slider.value];
      slider.setAttribute("aria-valuetext", labels[k][+slider.value]);
    });
  };
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
  sliders.forEach(slider => slider.addEventListener("input", () => { stop(); show(); }));
  button.addEventListener("click", () => {
    if (timer) return stop();
    button.textContent = "Stop";
    timer = setInterval(() => {
      if (!root.isConnected) return stop();
      sliders[0].value = (+sliders[0].value + 1) % labels[0].length; show();
    }, 900);
  });
  root.querySelector(".controls").hidden = false;
  show();
})();
