/* The live floor: what changed is swapped in place (swap.js); a list of agents that stands open is closed by Escape. */
import "./swap.js";
import "./toasts.js";

document.addEventListener("keydown", ({ key, target }) => {
  const open = key === "Escape" && target.closest(".assign[open]");
  if (open) open.open = false, open.querySelector("summary").focus();
});
