/* What was sent and has not been confirmed: kept with its key until the desk has it, tried again by itself, drawn as
   waiting. The key makes it one message, however often it is tried, by whichever tab. */
import { $, toEnd } from "./swap.js";
import { toast } from "./toasts.js";
import { account, giveBack, read } from "./drafts.js";
import { drop, get, put } from "./shelf.js";

const PREFIX = "baton:out:", STALE = 15 * 60e3, ORPHAN = 30e3, LONGEST = 30e3, TRIES = 6;
const mine = () => `${PREFIX}${account()}:`;
const tab = sessionStorage.tab ||= `${Math.random()}`.slice(2);
const timers = new Map(), busy = new Set(), undone = new Set();
export const freshKey = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const entries = () => Object.keys(localStorage).filter((name) => name.startsWith(mine())).map(read).filter((one) => one.key).sort((a, b) => a.at - b.at || a.n - b.n);
const save = (entry) => localStorage.setItem(mine() + entry.key, JSON.stringify({ ...entry, touched: Date.now() }));
const isKept = (entry) => localStorage.getItem(mine() + entry.key) !== null;
const forget = (entry) => { localStorage.removeItem(mine() + entry.key); if (entry.file) drop(entry.key); };
const openKey = () => document.querySelector(".open")?.dataset.key;
let counted = 0;

/* Send it now, or as soon as the desk can be reached. `entry`: conversation, mode, url, fields, text; perhaps a file. */
export const post = async (entry, file) => {
  const kept = { ...entry, key: freshKey(), at: Date.now(), n: counted++, tab, tries: 0, file: file ? file.name : "" };
  if (file) await put(kept.key, file);
  save(kept);
  paint();
  toEnd();
  pump(kept.conversation);
};

const bodyOf = async (entry) => {
  const body = new FormData();
  for (const [name, value] of Object.entries(entry.fields)) body.append(name, value);
  body.append("client_key", entry.key);
  if (entry.file) {
    const file = await get(entry.key);
    if (!file) return null;
    body.append("file", file, entry.file);
  } else return new URLSearchParams(body);
  return body;
};
const pump = async (conversation) => {
  if (busy.has(conversation)) return;
  const entry = entries().find((one) => one.conversation === conversation);
  if (!entry || entry.held) return;  // those behind it wait, so that the order stays
  if (Date.now() - entry.at > STALE && !entry.insist) return hold(entry, "It waited so long that it may not be wanted any more.");
  busy.add(conversation);
  clearTimeout(timers.get(conversation));
  undone.delete(entry.key);
  save(entry);
  paint();
  const went = await attempt(entry);
  busy.delete(conversation);
  paint();
  if (went) pump(conversation);
};
/* Say whether this one is dealt with, so that the next may go. */
const attempt = async (entry) => {
  const body = await bodyOf(entry);
  if (!body) return settle(entry, "The file has to be chosen again: the browser no longer has it.");
  let answer, html;
  try {
    answer = await fetch(entry.url, { method: "POST", body, headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(entry.file ? 300e3 : 20e3) });
    html = await answer.text();
  } catch { return later(entry, "Waiting to reach the desk"); }
  const elsewhere = answer.headers.get("HX-Redirect");
  if (elsewhere) {
    undone.add(entry.key);
    location.assign(elsewhere);  // signed out: it goes once they are back
    return false;
  }
  if (answer.ok) return arrived(entry, html);
  if (answer.status >= 500 || answer.status === 408 || answer.status === 429) return later(entry, "The desk can't take it just now");
  return settle(entry, new DOMParser().parseFromString(html, "text/html").body.textContent.trim() || "The desk refused it.");
};
const arrived = (entry, html) => {
  forget(entry);
  if (openKey() === entry.conversation && $("live")) {
    paint();
    htmx.swap("#live", html, { swapStyle: "keyed" });
    document.dispatchEvent(new CustomEvent("baton:replied"));
  }
  return true;
};
const later = (entry, why) => {
  if (!isKept(entry)) return true;  // another tab got it through
  const tries = entry.tries + 1;
  save({ ...entry, tries, why });
  undone.add(entry.key);
  if (tries >= TRIES && why !== "Waiting to reach the desk") hold({ ...entry, tries }, "The desk could not take it.");
  else timers.set(entry.conversation, setTimeout(() => pump(entry.conversation), Math.min(LONGEST, 1000 * 2 ** Math.min(tries - 1, 5))));
  return false;
};
const hold = (entry, why) => { save({ ...entry, held: true, why }); paint(); };
/* It was refused, and so nothing was sent: the words are the agent's again. */
const settle = (entry, why) => {
  forget(entry);
  if (entry.mode !== "template") giveBack(entry.conversation, entry.mode, entry.text, entry.quote);
  toast(why);
  document.dispatchEvent(new CustomEvent("baton:refused", { detail: entry }));
  return true;
};

const words = (entry) => entry.held ? `Not sent. ${entry.why}` : busy.has(entry.conversation) && !undone.has(entry.key) ? "On its way to the desk" : entry.why || "Waiting to reach the desk";
const paint = () => {
  const list = $("pending");
  if (!list) return;
  list.replaceChildren(...entries().filter((entry) => entry.conversation === openKey()).map((entry) => {
    const item = document.createElement("li"), text = document.createElement("p"), state = document.createElement("p");
    item.className = `waits ${entry.mode}`;
    text.textContent = [entry.file && `📎 ${entry.file}`, entry.text].filter(Boolean).join("\n");
    state.className = "quiet", state.textContent = words(entry);
    item.append(text, state);
    if (entry.held) for (const [label, act] of [["Send now", insist], ["Take it back", takeBack]]) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "plain", textContent: label });
      button.addEventListener("click", () => act(entry));
      state.append(" ", button);
    }
    return item;
  }));
};
const insist = (entry) => { save({ ...entry, held: false, insist: true, tries: 0 }); pump(entry.conversation); };
const takeBack = (entry) => { forget(entry); giveBack(entry.conversation, entry.mode, entry.text, entry.quote); paint(); pump(entry.conversation); };

const again = (all_ = true) => {
  const due = entries().filter((entry) => !entry.held && (all_ && entry.tab === tab || Date.now() - entry.touched > ORPHAN));
  for (const conversation of new Set(due.map((entry) => entry.conversation))) pump(conversation);
};
addEventListener("online", () => again());
addEventListener("storage", ({ key }) => { if (key?.startsWith(mine())) paint(); });
document.addEventListener("htmx:sseOpen", () => again());
document.addEventListener("desk:drawn", ({ detail }) => { if (detail === "conversation") paint(); });
setInterval(() => again(false), ORPHAN);
if (account()) again();
