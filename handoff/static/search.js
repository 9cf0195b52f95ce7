/* Search over everything said: `s` anywhere, or Enter in the filter. It stands where the list stood until Escape. */
import { $ } from "./swap.js";

const found = $("found");
const look = (words) => htmx.ajax("GET", `/search?q=${encodeURIComponent(words)}`, { target: "#found", swap: "innerHTML" });
const leave = () => { found.replaceChildren(); $("find").focus(); };
const rows = () => [...found.querySelectorAll(".row")].filter((row) => row.checkVisibility());

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = target.matches("textarea, select, input:not([type=radio], [type=checkbox])");
  if (key === "Enter" && target.id === "find") event.preventDefault(), look(target.value);
  else if (key === "Escape" && found.contains(target)) event.preventDefault(), leave();
  else if (key === "ArrowDown" && target.id === "q") event.preventDefault(), rows()[0]?.focus();
  else if (key === "s" && !typing && !document.querySelector("dialog[open]")) event.preventDefault(), $("q") ? $("q").select() : look("");
  else if (found.childElementCount && !typing && ["j", "k", "ArrowDown", "ArrowUp"].includes(key)) {
    if (key.startsWith("Arrow") && !target.matches("body, .row")) return;
    const by = key === "j" || key === "ArrowDown" ? 1 : -1, all = rows(), at = all.indexOf(target);
    event.preventDefault();
    (all[Math.max(0, Math.min(all.length - 1, at + by))] || found).focus();
  }
}, true);  // before the desk's own keys, which know the lists
document.addEventListener("click", (event) => {
  if (event.target.id === "leave") event.preventDefault(), leave();
  else if (event.target.closest("#search-all")) event.preventDefault(), look($("find").value);
});
document.addEventListener("htmx:afterSwap", ({ target }) => { if (target === found && !rows().includes(document.activeElement)) $("q").focus(), $("q").setSelectionRange(1e4, 1e4); });

/* What was found comes into sight in its transcript, and is seen at once. */
let sought = location.hash.slice(1);
const show = () => {
  const bubble = sought && $(sought);
  if (!bubble) return;
  sought = "";
  for (const other of document.querySelectorAll(".sought")) other.classList.remove("sought");
  bubble.classList.add("sought");
  bubble.scrollIntoView({ block: "center" });
};
found.addEventListener("click", ({ target }) => {
  const match = target.closest(".match");
  if (!match) return;
  sought = match.dataset.at || "";
  for (const row of rows()) row.classList.toggle("chosen", row === match);
});
document.addEventListener("desk:drawn", ({ detail }) => { if (detail === "conversation") requestAnimationFrame(() => requestAnimationFrame(show)); });
