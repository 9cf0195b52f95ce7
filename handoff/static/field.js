/* The reply's field: into it, to its gaps, words where the caret is. */
import { $ } from "./swap.js";

const GAP = /\{[a-z][a-z_ ]{0,39}\}/g;
export const gapsIn = (text) => [...new Set(text.match(GAP) || [])];
export const toGap = (field) => {
  const at = field.value.search(GAP);
  if (at < 0) return false;
  field.focus();
  field.setSelectionRange(at, at + field.value.slice(at).match(GAP)[0].length);
  return true;
};
export const write = (mode) => {
  if ($(mode)) document.querySelector(`.modes input[value=${mode}]`).checked = true, $(mode).elements.text.focus();
};
/* After a take what is typed is text; an `r` out of habit is not. */
const swallow = (event) => { if (event.key === "r") event.preventDefault(); };
export const notByHabit = () => {
  $("reply").addEventListener("keydown", swallow, { once: true });
  setTimeout(() => $("reply")?.removeEventListener("keydown", swallow), 1000);
};
/* Put words where the caret is, or instead of what is selected; then to the first gap in them. */
export const insert = (text, from, to) => {
  write("reply");
  const field = $("reply").elements.text;
  field.setRangeText(text, from ?? field.selectionStart, to ?? field.selectionEnd, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
  toGap(field) || field.focus();
};
