/* Answers that were given before, as drafts: shown when the contact waits for this agent's answer, never sent by themselves. */
import { $, all } from "./swap.js";
import { insert } from "./field.js";

let asked = "";
const newest = () => {
  const last = all("#thread .bubble.contact").at(-1);
  if (!last || $("bar")?.dataset.mayReply !== "yes") return "";
  for (let next = last.nextElementSibling; next; next = next.nextElementSibling) if (next.matches(".bubble.agent")) return "";
  return `${$("drafts").dataset.url} ${last.id}`;
};
const look = async () => {
  if (!$("drafts")) return;
  const now = newest();
  if (now === asked) return;
  asked = now;
  if (!now) return $("drafts").replaceChildren();
  const answer = await fetch($("drafts").dataset.url, { headers: { "HX-Request": "true" } }).catch(() => null);
  if (!answer?.ok || answer.headers.has("HX-Redirect") || asked !== now) return;
  $("drafts").innerHTML = await answer.text();
};
const choose = (button) => {
  const field = $("reply").elements.text;
  insert(button.dataset.text, field.value.trim() ? undefined : 0, field.value.trim() ? undefined : field.value.length);
};
document.addEventListener("desk:drawn", ({ detail }) => {
  if (detail === "conversation") asked = "";
  if (detail !== "rows") look();
});
document.addEventListener("click", ({ target }) => { const button = target.closest("#drafts .draft"); if (button) choose(button); });
document.addEventListener("keydown", (event) => {
  const digit = event.altKey && !event.ctrlKey && !event.metaKey && event.code.match(/^Digit([123])$/)?.[1];
  const button = digit && all("#drafts .draft")[digit - 1];
  if (!button) return;
  event.preventDefault();
  choose(button);
});
