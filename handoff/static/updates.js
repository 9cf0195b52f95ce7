/* The updates page: when what had the focus is gone, the heading above it has it. */
import "./toasts.js";

let near = null;  // the heading over what has the focus, if the swap concerns it
document.addEventListener("htmx:beforeSwap", ({ detail: { target } }) => {
  const at = document.activeElement;
  near = target.id === "updates" && target.contains(at) ? at.closest("section")?.getAttribute("aria-labelledby") : null;
});
// htmx itself has given the focus back by now where there is an element with the same id.
document.addEventListener("htmx:afterSettle", () => {
  if (near && document.activeElement === document.body) document.getElementById(near)?.focus({ preventScroll: true });
  near = null;
});
