/* Names after an @ in a note: a small list to choose from, by arrow keys and Enter or by a click. */
import { $ } from "./swap.js";

let people = null, field = null, found = [], at = 0;
const load = () => (people ??= fetch("/colleagues", { headers: { "HX-Request": "true" } })
  .then((answer) => answer.text())
  .then((text) => text.split("\n").filter(Boolean).map((line) => line.split("\t")), () => ((people = null), [])));  // asked for once; again after a failure
const box = document.body.appendChild(Object.assign(document.createElement("ul"), { id: "mentions", className: "mentions", hidden: true }));
box.setAttribute("role", "listbox");
box.setAttribute("aria-label", "Colleagues to mention");

const close = () => {
  if (field) field.removeAttribute("aria-activedescendant"), field.removeAttribute("aria-controls"), field.removeAttribute("aria-expanded");
  box.hidden = true;
  found = [];
};
const draw = () => {
  box.replaceChildren(...found.map(([handle, name], n) => {
    const one = Object.assign(document.createElement("li"), { id: `mention-${n}`, textContent: name });
    one.setAttribute("role", "option");
    one.setAttribute("aria-selected", n === at);
    one.append(Object.assign(document.createElement("span"), { className: "quiet", textContent: ` @${handle}` }));
    one.addEventListener("mousedown", (event) => { event.preventDefault(); choose(n); });
    return one;
  }));
  const { left, top, width } = field.getBoundingClientRect();
  box.hidden = false;
  Object.assign(box.style, { left: `${left}px`, bottom: `${innerHeight - top + 4}px`, maxWidth: `${width}px` });
  field.setAttribute("aria-controls", "mentions");
  field.setAttribute("aria-expanded", "true");
  field.setAttribute("aria-activedescendant", `mention-${at}`);
};
const begun = () => /(?:^|[^\w@.])@([\w.+-]*)$/.exec(field.value.slice(0, field.selectionStart));
const choose = (n) => {
  const begin = field.selectionStart - begun()[1].length;
  field.setRangeText(`${found[n][0]} `, begin, field.selectionStart, "end");
  close();
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
document.addEventListener("input", async ({ target }) => {
  if (!target.matches("#note textarea")) return;
  field = target;
  if (!begun()) return close();
  const everybody = await load();
  const word = begun()?.[1].toLowerCase();  // by now: the names may have come after the next letters, or after the whole note
  if (word === undefined) return close();
  found = everybody.filter(([handle, name]) => handle.toLowerCase().startsWith(word) || name.toLowerCase().split(" ").some((part) => part.startsWith(word))).slice(0, 6);
  at = 0;
  found.length && document.activeElement === field ? draw() : close();
});
document.addEventListener("keydown", (event) => {
  if (box.hidden || event.target !== field) return;
  const does = { ArrowDown: () => { at = (at + 1) % found.length; draw(); }, ArrowUp: () => { at = (at + found.length - 1) % found.length; draw(); }, Enter: () => choose(at), Tab: () => choose(at), Escape: close }[event.key];
  if (does) event.preventDefault(), event.stopPropagation(), does();
}, true);
document.addEventListener("focusout", ({ target }) => { if (target === field) close(); });
