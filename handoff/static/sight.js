/* What is really in sight: how far the conversation is read, who looks at it, who types there. */
import { $, all, isLow } from "./swap.js";

const EVERY = 20_000, TYPES = 4_000;
let key = null;  // of the conversation that we said is in sight
let told = 0;  // the last message we said is read
let holds = null;  // marked unread by hand: not read by itself until it is opened again
let typed = 0;  // when we last said so
let last = 0;  // when we last said anything

const open = () => (!document.hidden && document.querySelector(".open")?.dataset.key) || null;
const say = (about, words, leaving = false) => {
  const address = `/conversations/${encodeURIComponent(about)}/sight`, body = new URLSearchParams(words);
  if (leaving) navigator.sendBeacon(address, body);
  else fetch(address, { method: "POST", body, headers: { "HX-Request": "true" } }).catch(() => {});
};
const newest = () => Math.max(0, ...all("#thread > .bubble[id^=m]").slice(-1).map((one) => Number(one.id.slice(1))));

export const look = () => {
  const now = open();
  if (key && key !== now) {
    say(key, { left: 1 }, true);
    told = 0;
  }
  if (!now) return delete document.body.dataset.reads, void (key = null);
  if (holds && holds !== now) holds = null;
  const read = isLow() && holds !== now ? newest() : 0, isNew = key !== now;
  read ? (document.body.dataset.reads = now) : delete document.body.dataset.reads;
  key = now;
  if (!isNew && read <= told && Date.now() - last < EVERY - 500) return;
  if (read > told && ($(`row-${now}`)?.querySelector(".news") || $("waiting").dataset.mentioned.includes(now))) {
    setTimeout(() => htmx.trigger("#filter", "submit"), 1500);  // by then it is written down that it was read
  }
  told = Math.max(told, read);
  last = Date.now();
  say(now, read ? { read } : {});
};
const types = (yes) => {
  if (!key || (yes ? Date.now() - typed < TYPES : !typed)) return;
  typed = yes ? Date.now() : 0;
  say(key, { types: yes ? "yes" : "no" });
};

let soon = 0;
const lookSoon = () => { clearTimeout(soon); soon = setTimeout(look, 300); };  // a burst is told once
document.addEventListener("desk:drawn", ({ detail }) => {
  if (detail === "conversation") holds = null, told = 0, typed = 0;
  if (detail === "conversation" || detail === "live") lookSoon();
});
document.addEventListener("desk:low", lookSoon);
document.addEventListener("visibilitychange", look);
addEventListener("pagehide", () => { if (key) say(key, { left: 1 }, true), key = null; });
addEventListener("pageshow", lookSoon);
setInterval(look, EVERY);
document.addEventListener("input", ({ target }) => { if (target.matches("#reply textarea")) types(Boolean(target.value.trim())); });
document.addEventListener("baton:replied", () => types(false));
export const markUnread = () => {
  const now = document.querySelector(".open")?.dataset.key;
  if (!now) return;
  holds = now;
  delete document.body.dataset.reads;
  clearTimeout(soon);
  htmx.ajax("POST", `/conversations/${encodeURIComponent(now)}/unread`, { target: "#live", swap: "keyed", source: "#live" });
};
document.addEventListener("baton:unread", () => { $("announce").textContent = "Marked unread."; htmx.trigger("#filter", "submit"); });
