/* Writing: drafts survive everything, nothing is sent twice. */
import { $, all } from "./swap.js";
import { toast } from "./toasts.js";

const draftOf = (form) => `draft:${form.closest(".open").dataset.key}:${form.id}`;
const keep = (form) => sessionStorage.setItem(draftOf(form), form.elements.text.value);
const freshKey = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const sync = () => { if ($("reply") && $("bar")) $("reply").querySelector("button").disabled = $("bar").dataset.mayReply !== "yes"; };

export const write = (mode) => {
  if ($(mode)) document.querySelector(`.modes input[value=${mode}]`).checked = true, $(mode).elements.text.focus();
};
/* Send what a field holds, or say why that can't be. */
export const send = (field) => {
  if (field.value.trim()) field.form.querySelector("button").disabled ? toast($("hint").textContent) : field.form.requestSubmit();
};

document.addEventListener("desk:drawn", ({ detail }) => {
  if (detail === "conversation") for (const form of all(".write")) form.elements.text.value = sessionStorage.getItem(draftOf(form)) || "";
  if (detail !== "rows") sync();
});
document.addEventListener("input", ({ target }) => { if (target.matches(".write textarea")) keep(target.form); });
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (!detail.elt.matches(".write")) return;
  const { text, client_key } = detail.elt.elements;
  detail.elt.sending = { text: text.value, key: client_key.value };
  text.value = "";
  client_key.value = freshKey();
  keep(detail.elt);
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  const { elt, successful, xhr } = detail;
  if (!successful && elt.method === "post" && (!xhr.status || xhr.status >= 500)) toast("That did not reach the desk. What you wrote is still here; try again.");
  if (!elt.sending) return;
  const { text, client_key } = elt.elements;
  if (!successful) {
    if (!text.value) client_key.value = elt.sending.key;  // the same words again are the same message
    text.value = elt.sending.text + (text.value ? `\n${text.value}` : "");
    keep(elt);
  }
  elt.sending = null;
});
const notByHabit = (event) => { if (event.key === "r") event.preventDefault(); };  // after a take what is typed is text; an `r` is not
document.addEventListener("baton:taken", () => {
  write("reply");
  $("reply").addEventListener("keydown", notByHabit, { once: true });
  setTimeout(() => $("reply")?.removeEventListener("keydown", notByHabit), 1000);
});
