// The phone's manners: live updates, sending without leaving the page, sheets, quoting, voice messages.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const scroller = $("#scroller");
const inConversation = Boolean(scroller);
const NEAR = 90;
const LONG_PRESS = 450;
let atEnd = true; // the newest message is in sight, and stays so when a picture loads or a keyboard opens

/* Live: a signal says that something is new, the fragment says what. */

let asking = false, askAgain = false, typingTimer = 0;

async function refresh() {
  if (asking) { askAgain = true; return; }
  asking = true;
  try {
    const all = new URLSearchParams(location.search).has("all") ? "?all" : "";
    const answer = await fetch(document.body.dataset.fragments + all, { cache: "no-store" });
    if (answer.ok) show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch { /* the stream reconnects and asks again */ }
  asking = false;
  if (askAgain) { askAgain = false; refresh(); }
}

function show(fresh) {
  const open = $("#faults")?.open;
  for (const id of ["contacts", "presence", "window", "trouble"]) {
    const old = document.getElementById(id), now = fresh.getElementById(id);
    if (old && now && old.outerHTML !== now.outerHTML && !old.contains(document.activeElement)) old.replaceWith(now);
    else if (id === "contacts" && old && now && old.outerHTML !== now.outerHTML) replaceFocused(old, now);
    else if (old && now && document.activeElement.matches("[role=switch]")) { old.replaceWith(now); $("[role=switch]", now)?.focus(); }
  }
  if ($("#faults")) $("#faults").open = open;
  if (inConversation && fresh.getElementById("log")) merge($("#log"), fresh.getElementById("log"));
  nameTab();
  watchTyping();
}

function replaceFocused(old, now) {
  const href = document.activeElement.getAttribute("href");
  old.replaceWith(now);
  if (href) $(`#contacts a[href="${CSS.escape(href)}"]`)?.focus();
}

// Bubbles that look the same stay the same elements: focus, open menus and playing voices survive.
function merge(log, fresh) {
  const stay = atEnd;
  const before = new Map([...log.children].map((child) => [child.dataset.key, child]));
  let news = false, mine = false, place = log.firstElementChild;
  for (const child of [...fresh.children]) {
    const old = before.get(child.dataset.key);
    before.delete(child.dataset.key);
    const keep = old && (old.dataset.version === child.dataset.version || old.querySelector("[open]") || isPlaying(old));
    if (!old && child.matches(".message")) { news = true; mine = mine || child.matches(".mine"); }
    if (keep && old === place) { place = place.nextElementSibling; continue; }
    if (old === place) place = place.nextElementSibling;
    if (!keep && old) old.remove();
    log.insertBefore(keep ? old : child, place);
  }
  for (const gone of before.values()) gone.remove();
  setUpPlayers();
  if (stay || mine) toEnd(); else if (news) $("#newest").hidden = false;
  if (news) seen();
}

const isPlaying = (element) => [...element.querySelectorAll("audio, video")].some((media) => !media.paused);

function watchTyping() {
  clearTimeout(typingTimer);
  const left = Number($("#presence")?.dataset.typing || 0);
  if (left > 0) typingTimer = setTimeout(refresh, left * 1000 + 100);
}

function nameTab() {
  const unread = [...document.querySelectorAll("[data-unread]")].reduce((sum, one) => sum + Number(one.dataset.unread), 0);
  document.title = (unread ? `(${unread}) ` : "") + document.title.replace(/^\(\d+\) /, "");
}

function listen() {
  const stream = new EventSource(document.body.dataset.live);
  stream.onopen = refresh; // whatever was missed while there was no stream
  stream.onmessage = refresh;
  addEventListener("pagehide", () => stream.close(), { once: true });
}

/* Read: blue ticks for the business only when this conversation is really on a screen. */

function here(what) { return $("#composer").action.replace(/messages$/, what); }

function post(address, body) {
  return fetch(address, { method: "POST", body, headers: { "X-Phone": "script" } });
}

function seen() {
  if (inConversation && document.visibilityState === "visible") post(here("seen"));
}

/* Sending */

async function send(form, submitter) {
  const body = new FormData(form, submitter);
  if (submitter?.name) body.delete("edit"); // something else is sent: what was to be edited stays
  form.closest("dialog")?.close();
  if (!submitter?.matches("[role=switch]")) closeMenus(); // a switch stays in sight, to be seen moving
  if (form.matches("[data-composer]")) clearComposer(submitter);
  const answer = await post(form.action, body).catch(() => null);
  if (answer?.ok) { await refresh(); return; }
  if (form.matches("[data-composer]") && body.get("text") && !$("#text").value) $("#text").value = body.get("text");
  $("#trouble").innerHTML = '<p class="trouble">The simulator did not take that. Is it still running?</p>';
}

function clearComposer(submitter) {
  const takesText = !submitter?.name || ["image", "video", "document", "forward"].includes(submitter.value);
  if (takesText) { $("#text").value = ""; grow(); }
  $("#photo").value = "";
  stopQuoting();
  $("#text").focus();
}

function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  $("#text").rows = Math.min(6, $("#text").value.split("\n").length);
}

addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-send]");
  if (!form) return;
  event.preventDefault();
  const isPlainSend = form.matches("[data-composer]") && !event.submitter?.name;
  if (isPlainSend && !$("#text").value.trim() && !$("#photo").value) return;
  send(form, event.submitter);
});

/* Quoting, and editing what was written */

function edit(button) {
  stopQuoting();
  $("#edit").value = button.dataset.edit;
  $("#quoting strong").textContent = "Edit your message";
  $("#quoting span").textContent = button.dataset.text;
  $("#quoting").hidden = false;
  $("#text").value = button.dataset.text;
  grow();
  $("#text").focus();
}

function quote(button) {
  stopQuoting();
  $("#context").value = button.dataset.quote;
  $("#quoting strong").textContent = button.dataset.author;
  $("#quoting span").textContent = button.dataset.words;
  $("#quoting").hidden = false;
  $("#text").focus();
}

function stopQuoting() {
  if ($("#edit").value) { $("#text").value = ""; grow(); } // the words belong to the message that stays as it is
  $("#context").value = $("#edit").value = "";
  $("#quoting").hidden = true;
}

/* Menus, sheets, pictures */

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}

function toEnd() { atEnd = true; scroller.scrollTop = scroller.scrollHeight; $("#newest").hidden = true; }

addEventListener("click", (event) => {
  const at = (selector) => event.target.closest(selector);
  closeMenus(at("details.menu"));
  if (at("[data-opens]")) document.getElementById(at("[data-opens]").dataset.opens).showModal();
  else if (at("[data-closes]")) at("dialog").close();
  else if (at("[data-quote]")) { quote(at("[data-quote]")); closeMenus(); }
  else if (at("[data-edit]")) { edit(at("[data-edit]")); closeMenus(); }
  else if (at("#stop-quoting")) { stopQuoting(); $("#text").focus(); }
  else if (at("#newest")) toEnd();
  else if (at("[data-picture]")) { event.preventDefault(); showPicture(at("[data-picture]")); }
  else if (at("a.quote")) { event.preventDefault(); find(at("a.quote").getAttribute("href")); }
  else if (at(".player button")) toggle(at(".player"));
  else if (event.target.matches("dialog")) event.target.close();
});

function showPicture(link) {
  $("#picture img").src = link.href;
  $("#picture img").alt = $("img", link).alt;
  $("#picture").showModal();
}

function find(href) {
  const message = $(href);
  if (!message) return;
  message.scrollIntoView({ block: "center" });
  message.classList.remove("found");
  requestAnimationFrame(() => message.classList.add("found"));
}

addEventListener("toggle", (event) => {
  const menu = event.target;
  if (!menu.matches?.("details.more") || !menu.open) return;
  menu.classList.toggle("flips", menu.getBoundingClientRect().top > innerHeight * 0.6);
}, true);

addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.id === "text") {
    event.preventDefault();
    $("#composer").requestSubmit();
  }
  if (event.key === "Escape") {
    const menu = $("details.menu[open]");
    if (menu) { menu.open = false; $("summary", menu).focus(); } else if (inConversation && !$("dialog[open]")) stopQuoting();
  }
});

/* Long press opens what a mouse finds by hovering. */

let press = 0;
addEventListener("touchstart", (event) => {
  const menu = event.target.closest(".bubble")?.querySelector("details.more");
  if (menu) press = setTimeout(() => { closeMenus(); menu.open = true; }, LONG_PRESS);
}, { passive: true });
for (const end of ["touchend", "touchmove", "touchcancel"]) addEventListener(end, () => clearTimeout(press), { passive: true });

/* Voice messages */

const clock = (seconds) => !Number.isFinite(seconds) ? "" : `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function draw(player, name, label) {
  const use = $("button use", player);
  use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${name}`));
  $("button", player).setAttribute("aria-label", `${label} voice message`);
}

function toggle(player) {
  const audio = $("audio", player);
  if (!audio.paused) { audio.pause(); return; }
  for (const other of document.querySelectorAll("audio")) other.pause();
  audio.play();
  if (player.dataset.wamid) post(here("played"), new URLSearchParams({ wamid: player.dataset.wamid }));
}

function setUpPlayers() {
  for (const player of document.querySelectorAll(".player:not([data-ready])")) {
    player.dataset.ready = "yes";
    const audio = $("audio", player), range = $("input", player), length = $(".length", player);
    const tell = () => { length.textContent = clock(audio.paused && !audio.currentTime ? audio.duration || 0 : audio.currentTime); };
    audio.addEventListener("loadedmetadata", tell);
    audio.addEventListener("timeupdate", () => { range.value = (1000 * audio.currentTime) / (audio.duration || 1); tell(); });
    audio.addEventListener("play", () => draw(player, "pause", "Pause"));
    audio.addEventListener("pause", () => draw(player, "play", "Play"));
    audio.addEventListener("ended", () => { audio.currentTime = 0; });
    range.addEventListener("input", () => { audio.currentTime = (range.value / 1000) * (audio.duration || 0); });
    if (audio.readyState > 0) tell();
  }
}

/* Begin */

if (inConversation) {
  $("#text").addEventListener("input", grow);
  $("#photo").addEventListener("change", () => $("#composer").requestSubmit());
  scroller.addEventListener("scroll", () => {
    atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR;
    if (atEnd) $("#newest").hidden = true;
  }, { passive: true });
  const watch = new ResizeObserver(() => { if (atEnd) toEnd(); });
  watch.observe(scroller);
  watch.observe($("#log"));
  document.addEventListener("visibilitychange", seen);
  addEventListener("load", toEnd);
  toEnd();
  if (matchMedia("(hover: hover)").matches) $("#text").focus({ preventScroll: true });
  setUpPlayers();
  watchTyping();
  seen();
}
$(".person[aria-current]")?.scrollIntoView({ block: "nearest" });
nameTab();
listen();
