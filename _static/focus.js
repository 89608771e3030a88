// Whatever scrolls sideways (a wide formula, table or line of code) can be reached and scrolled by keys.
const BOXES = "div.math, span.math, pre, .pst-scrollable-table-container, .text_html";
const idle = window.requestIdleCallback || ((work) => setTimeout(() => work({ timeRemaining: () => 10 }), 1));
const look = () => {
  const boxes = [...document.querySelectorAll("article :is(" + BOXES + ")")];
  const some = (time) => {
    do {
      const box = boxes.shift();
      if (box && box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    } while (boxes.length && time.timeRemaining() > 2);
    if (boxes.length) idle(some);
    else document.documentElement.dataset.boxes = "seen";
  };
  idle(some);
};
addEventListener("load", look);
addEventListener("resize", look);
document.addEventListener("toggle", look, true); // a solution was unfolded
// On paper nothing can be opened: folded solutions are printed, and folded again afterwards.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("article details:not([open])")];
  folded.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
