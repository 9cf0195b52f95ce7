/* The desk's few lines of script: what a key does. Swaps, the bell and writing have files of their own; all else is HTML. */
import { $, all } from "./swap.js";
import "./bell.js";
import { unfold } from "./aside.js";
import { send, write } from "./writing.js";

const move = (by) => {
  const rows = all(".row"), at = rows.indexOf(document.activeElement.closest(".row") || document.querySelector(".row[aria-current]"));
  (rows[Math.max(0, Math.min(rows.length - 1, at + by))] || document.body).focus();
};
const fold = (open, query) => { if ($("pass")) $("pass").open = open, $("pass").querySelector(query).focus(); };
const press = (id) => $(id)?.querySelector("button").click(), list = (n) => all("[name=show]")[n].click();
const keys = {
  j: () => move(1),
  k: () => move(-1),
  t: () => press("do-take"),
  g: () => unfold("wrapup"),
  z: () => ($("snooze") ? unfold("snooze") : press("do-wake")),
  q: () => press("do-requeue"),
  p: () => fold(true, "select"),
  a: () => press("available"),
  r: () => write("reply"),
  n: () => write("note"),
  "/": () => $("find").focus(),
  "?": () => $("help").showModal(),
  1: () => list(0),
  2: () => list(1),
  3: () => list(2),
  4: () => list(3),
  ArrowDown: () => move(1),
  ArrowUp: () => move(-1),
};
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const typing = target.matches("textarea, select, input:not([type=radio], [type=checkbox])");
  if (event.defaultPrevented) return;
  if (key === "Enter" && !event.shiftKey && !event.isComposing && target.matches(".write textarea")) {
    event.preventDefault();
    send(target);
  } else if (key === "Escape" && typing) target.closest("#pass") ? fold(false, "summary") : target.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || $("help").open || !keys[key]) return;
  if (key.startsWith("Arrow") && !target.matches("body, .row")) return;
  event.preventDefault();
  keys[key]();
});
$("help-button").addEventListener("click", () => $("help").showModal());
document.addEventListener("click", ({ target }) => { if (target.id === "back") target.search = `show=${document.querySelector("[name=show]:checked").value}`; });
