/* Drafts: kept in this browser by account and conversation, through reloads and other tabs; the list says where one is. */
import { $, all } from "./swap.js";

export const account = () => document.body.dataset.account;
const KEPT_DAYS = 14, PREFIX = "baton:draft:";
const mine = () => `${PREFIX}${account()}:`;
const nameOf = (conversation, mode) => `${mine()}${conversation}:${mode}`;
const sheet = new CSSStyleSheet();
document.adoptedStyleSheets.push(sheet);

export const read = (name) => { try { return JSON.parse(localStorage.getItem(name)) || {}; } catch { return {}; } };
export const draftOf = (conversation, mode) => read(nameOf(conversation, mode));
export const keepDraft = (conversation, mode, draft) => {
  const name = nameOf(conversation, mode);
  draft.text || draft.quote ? localStorage.setItem(name, JSON.stringify({ ...draft, at: Date.now() })) : localStorage.removeItem(name);
  paint();
};
/* Put words back in front of what was begun since; in the open conversation, into the field. */
export const giveBack = (conversation, mode, text, quote) => {
  const draft = draftOf(conversation, mode);
  keepDraft(conversation, mode, { text: [text, draft.text].filter(Boolean).join("\n"), quote: draft.quote || quote });
  document.dispatchEvent(new CustomEvent("baton:draft", { detail: { conversation, mode } }));
};
export const conversationOf = (element) => element.closest(".open").dataset.key;

const names = () => Object.keys(localStorage).filter((name) => name.startsWith(mine()));
/* A rule, not an element: the list is drawn by the server, and what is not its own would go at the next look. */
const paint = () => {
  const open = document.querySelector(".open")?.dataset.key;
  const keys = new Set(names().filter((name) => read(name).text).map((name) => name.split(":")[3]));
  sheet.replaceSync([...keys].filter((key) => key !== open && /^[\w-]+$/.test(key))
    .map((key) => `#row-${CSS.escape(key)} .last::before { content: "Draft · "; color: var(--accent); font-weight: 600; }`).join("\n"));
};
for (const name of Object.keys(localStorage)) {
  if (name.startsWith(PREFIX) && Date.now() - (read(name).at || 0) > KEPT_DAYS * 864e5) localStorage.removeItem(name);
}
addEventListener("storage", ({ key }) => {
  if (!key?.startsWith(mine())) return;
  const [conversation, mode] = key.slice(mine().length).split(":");
  document.dispatchEvent(new CustomEvent("baton:draft", { detail: { conversation, mode, elsewhere: true } }));
  paint();
});
document.addEventListener("desk:drawn", ({ detail }) => { if (detail === "conversation") paint(); });
document.addEventListener("baton:draft", ({ detail: { conversation, mode, elsewhere } }) => {
  for (const form of all(".write")) {
    if (form.id !== mode || conversationOf(form) !== conversation || (elsewhere && form.contains(document.activeElement))) continue;
    form.elements.text.value = draftOf(conversation, mode).text || "";
  }
});
if ($("rows")) paint();
