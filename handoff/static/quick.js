/* Quick replies: `/` and a name in the reply. The field keeps the focus; a listbox above it shows what fits. */
import { $, all } from "./swap.js";
import { insert } from "./field.js";
import { toast } from "./toasts.js";

const ASKED = /(?:^|\s)\/([^\s/]*)$/, FRESH = 60e3;
let at = -1, fetched = { url: "", when: 0, came: null };
const field = () => $("reply")?.elements.text;
const shown = () => all("#quick [role=option]").filter((option) => !option.hidden);
export const close = () => {
  if (!$("quick") || $("quick").hidden) return;
  $("quick").hidden = true;
  field().removeAttribute("aria-activedescendant");
};
const point = (to) => {
  const options = shown();
  at = options.length ? (to + options.length) % options.length : -1;
  for (const option of all("#quick [role=option]")) option.setAttribute("aria-selected", "false");
  if (at < 0) return field().removeAttribute("aria-activedescendant");
  options[at].setAttribute("aria-selected", "true");
  options[at].scrollIntoView({ block: "nearest" });
  field().setAttribute("aria-activedescendant", options[at].id);
};
const asked = () => field().value.slice(0, field().selectionEnd).match(ASKED)?.[1].toLowerCase();
const rank = (option, wanted) => {
  const name = option.dataset.name;
  return name.startsWith(wanted) ? 0 : name.includes(wanted) ? 1 : wanted.length > 1 && option.dataset.text.toLowerCase().includes(wanted) ? 2 : 9;
};
const filter = (wanted) => {
  const options = all("#quick [role=option]");
  for (const option of options) option.hidden = rank(option, wanted) === 9;
  $("quick").prepend(...options.sort((a, b) => rank(a, wanted) - rank(b, wanted) || a.dataset.name.localeCompare(b.dataset.name)));
  $("quick").querySelector(".none").hidden = shown().length > 0;
  $("quick").hidden = false;
  point(0);
};
const load = async () => {
  const url = $("quick").dataset.url;
  if (fetched.url !== url || Date.now() - fetched.when > FRESH || (await fetched.came && !$("quick").childElementCount)) {
    fetched = { url, when: Date.now(), came: fetch(url, { headers: { "HX-Request": "true" } }).then((answer) => answer.ok && !answer.headers.has("HX-Redirect") && answer.text()).catch(() => "") };
    const html = await fetched.came;
    if (!html) fetched.when = 0;
    if (!html || $("quick")?.dataset.url !== url) return false;
    $("quick").innerHTML = html;
  }
  return Boolean(await fetched.came);
};
/* Nobody writes `/name` to a contact: it was meant for this list. The button sends it all the same. */
const unknown = () => toast(`No quick reply is called ${field().value.trim()}. Press Send to send it as it stands.`);
const look = async () => {
  if (asked() === undefined) return close();
  if (await load() && asked() !== undefined) filter(asked());
};
const choose = (option) => {
  const end = field().selectionEnd, text = option.dataset.text;
  close();
  insert(text, end - asked().length - 1, end);
};
document.addEventListener("input", ({ target }) => { if (target.matches("#reply textarea")) look(); });
document.addEventListener("keydown", (event) => {
  if (!$("quick") || $("quick").hidden || event.isComposing || !event.target.matches("#reply textarea")) return;
  const keys = { ArrowDown: () => point(at + 1), ArrowUp: () => point(at - 1), Escape: close };
  if (at >= 0) keys.Enter = keys.Tab = () => choose(shown()[at]);
  else if (/^\s*\/\S*\s*$/.test(field().value)) keys.Enter = unknown;
  if (!keys[event.key] || event.altKey || event.shiftKey) return;
  event.preventDefault();
  keys[event.key]();
}, true);
document.addEventListener("pointerdown", (event) => { if (event.target.closest("#quick [role=option]")) event.preventDefault(); });
document.addEventListener("click", ({ target }) => {
  const option = target.closest("#quick [role=option]");
  if (option) choose(option);
  else if (target.closest("#quick-button")) {
    const before = field().value.slice(0, field().selectionStart);
    insert(!before || /\s$/.test(before) ? "/" : " /");
  } else if (!target.closest("#quick, #reply textarea")) close();
});
document.addEventListener("focusout", ({ target, relatedTarget }) => { if (target === field() && !relatedTarget?.closest("#quick")) close(); });
