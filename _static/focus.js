// Whatever scrolls sideways (a wide formula, table or line of code) can be reached and scrolled by keys.
const BOXES = "div.math, span.math, pre, .pst-scrollable-table-container, .text_html";
document.addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector("article");
  if (!article) return;
  const look = () => article.querySelectorAll(BOXES).forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  });
  new ResizeObserver(look).observe(article);
  window.addEventListener("load", look);
});
// On paper nothing can be opened: folded solutions are printed, and folded again afterwards.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("article details:not([open])")];
  folded.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
