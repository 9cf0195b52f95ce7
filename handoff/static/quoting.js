/* Quoting: the message a reply answers to, chosen by its button or by Alt and an arrow. */
import { $, all } from "./swap.js";

let chosen = null;
export const quoted = () => chosen;
export const quote = (one) => {
  chosen = one;
  if (!$("quoting")) return;
  $("quoting").hidden = !one;
  for (const bubble of all(".bubble.quoted")) bubble.classList.remove("quoted");
  if (!one) return;
  $("quoting").querySelector("strong").textContent = one.who;
  $("quoting").querySelector("span").textContent = one.text;
  document.getElementById(`m${one.id}`)?.classList.add("quoted");
};
const of = (button) => {
  const bubble = button.closest(".bubble"), group = [bubble];
  while (!group[0].querySelector(".who") && group[0].previousElementSibling?.matches(".bubble")) group.unshift(group[0].previousElementSibling);
  const text = bubble.querySelector(".body > .text") || bubble.querySelector(".body");
  return { id: button.dataset.quotes, who: group[0].querySelector(".who")?.firstChild.textContent.trim() || "", text: text.textContent.trim().replace(/\s+/g, " ").slice(0, 140) };
};
const choose = (one) => {
  quote(one);
  document.dispatchEvent(new CustomEvent("baton:quoted"));
};
const step = (by) => {
  const buttons = all("#thread .quote-it"), at = chosen ? buttons.findIndex((button) => button.dataset.quotes === chosen.id) : buttons.length;
  const next = buttons[Math.max(0, at + by)];
  choose(next ? of(next) : null);
  next?.closest(".bubble").scrollIntoView({ block: "nearest" });
};
document.addEventListener("click", ({ target }) => {
  if (target.closest("#quoting button")) choose(null), $("reply").elements.text.focus();
  const button = target.closest(".quote-it");
  if (!button || !$("reply")) return;
  document.querySelector(".modes input[value=reply]").checked = true;
  choose(of(button));
  $("reply").elements.text.focus();
});
document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey || !event.target.matches("#reply textarea") || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
  event.preventDefault();
  step(event.key === "ArrowUp" ? -1 : 1);
});
