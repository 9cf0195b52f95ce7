/* The desk's few lines of script: when a key counts. What it does stands in keys.js; swaps, the bell, the transcript and
   writing have files of their own; all else is HTML. */
import { $, all } from "./swap.js";
import "./bell.js";
import "./aside.js";
import "./search.js";
import "./stream.js";
import "./mention.js";
import { DOES, fold, next } from "./keys.js";
import { send } from "./writing.js";

const FOLDS = { pass: "summary", tagging: "summary", narrow: "summary", "field-new": "summary", blocking: "summary" };
const leave = (target) => {
  const id = Object.keys(FOLDS).find((one) => target.closest(`#${one}[open]`));
  id && id !== "narrow" ? fold(id, false, FOLDS[id]) : target.blur();
};
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  const typing = target.matches("textarea, select, input:not([type=radio], [type=checkbox])");
  if (event.defaultPrevented) return;
  if (key === "Enter" && !event.shiftKey && !event.isComposing && target.matches(".write textarea")) {
    event.preventDefault();
    send(target);
  } else if (key === "Enter" && !event.shiftKey && !event.isComposing && target.matches("#pass textarea")) {
    event.preventDefault();
    target.form.requestSubmit();
  } else if (key === "Escape" && (typing || target.closest("details[open]"))) leave(target);
  if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || !DOES[key]) return;
  if (key.startsWith("Arrow") && !target.matches("body, .row")) return;
  event.preventDefault();
  DOES[key]();
});
$("help-button").addEventListener("click", () => $("help").showModal());
$("next").addEventListener("click", (event) => { event.preventDefault(); next(); });
document.addEventListener("click", ({ target }) => { if (target.id === "back") target.search = `show=${document.querySelector("[name=show]:checked").value}`; });

/* Once it is done with, the way on is under the fingers: Enter opens who is next. */
for (const done of ["given_back", "requeued", "transferred"]) document.addEventListener(`baton:${done}`, () => {
  setTimeout(() => { if (!document.activeElement.matches("textarea, input, select")) ($("next").hidden ? $("thread") : $("next"))?.focus({ preventScroll: true }); }, 60);
});
document.addEventListener("baton:tagged", () => { if ($("tagging")) $("tagging").querySelector("form").reset(), $("tagging").open && $("tag-word").focus(); });
document.addEventListener("baton:transferred", () => { if ($("pass")) $("do-transfer").reset(), $("pass").open = false; });
document.addEventListener("baton:kept", () => { $("do-field")?.reset(); });

/* A view keeps the list as it is narrowed now. */
$("keep-view").addEventListener("submit", ({ target }) => {
  for (const [name, value] of new FormData($("filter"))) target.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
});
const narrowed = () => {
  const many = all("#narrow select, #narrow input[type=checkbox]:not([name=shared])").filter((field) => (field.type === "checkbox" ? field.checked : field.value)).length;
  $("narrowed").hidden = !many;
  $("narrowed").textContent = many;
};
$("filter").addEventListener("change", narrowed);
narrowed();
