/* Keys of the two forms that let go of a conversation: a number chooses, Enter in it sends, whatever has the focus. */
import { $, all } from "./swap.js";

const shut = (form) => { const box = form.closest("details"); box.open = false; box.querySelector("summary").focus(); };
export const unfold = (id) => {
  if (!$(id)) return;
  for (const other of all("details.pass")) other.open = other.id === id;
  $(id).querySelector("input:checked")?.focus();
};
document.addEventListener("keydown", (event) => {
  const { key, target } = event, form = target.closest?.(".aside form");
  if (!form || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const writes = target.matches("input[name=summary], input[type=datetime-local]"), choices = all("input[type=radio]", form);
  if (key === "Escape") shut(form);
  else if (key === "Enter" && !target.matches("button")) form.requestSubmit();
  else if (!writes && choices[key - 1]) choices[key - 1].checked = true, choices[key - 1].focus();
  else if (writes || key.length > 1 || key === " ") return;  // arrows, Tab and blanks do what they do
  event.preventDefault();
});
/* Choosing "another time" leads on to it. */
document.addEventListener("change", ({ target }) => { if (target.matches(".aside [value=at]")) $("snooze").querySelector("[type=datetime-local]").focus(); });
