/* The transcript: earlier messages by scrolling up, links to messages, copying, and what is new. */
import { $, all, isLow, toEnd } from "./swap.js";
import { toast } from "./toasts.js";

/* What the page asks for with every request: from which message on, and what was read when it was opened. */
const asks = () => JSON.parse(document.querySelector(".open").getAttribute("hx-vals") || "{}");
const ask = (more) => {
  document.querySelector(".open").setAttribute("hx-vals", JSON.stringify({ ...asks(), ...more }));
  htmx.trigger("#live", "again");
};

let sought = null;  // the id a link leads to, while its part of the transcript is fetched
const find = (id, at) => {
  const there = $(id);
  if (there) {
    sought = null;
    there.scrollIntoView({ block: "center" });
    there.focus({ preventScroll: true });
    there.classList.add("sought");
    setTimeout(() => there.classList.remove("sought"), 2500);
  } else if (at && sought !== id) {
    sought = id;
    ask({ at });
  } else if (sought === id) {
    sought = null;
    toast("That message is not in this conversation.");
  }
};
const byAddress = () => {
  const [, number] = /^#m-?(\d+)$/.exec(location.hash) || [];
  if (number) find(`m${number}`, number);
};
addEventListener("hashchange", byAddress);

const up = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) if (isIntersecting && !isLow()) up.unobserve(target), ask({ since: target.dataset.since });
});
document.addEventListener("desk:drawn", ({ detail }) => {
  if (detail === "conversation") sought = null, byAddress();
  if (detail === "live") {
    const { at, ...kept } = asks();
    if (at) document.querySelector(".open").setAttribute("hx-vals", JSON.stringify({ ...kept, ...firstShown() }));
    if (sought) find(sought);
  }
  if (detail === "live" || detail === "conversation") all(".earlier").forEach((link) => up.observe(link)), paint();
});
/* From here on the page asks for what it shows. */
const firstShown = () => {
  const first = all("#thread > .bubble[id^=m]")[0];
  return first ? { since: first.id.slice(1) } : {};
};

const paint = () => { if ($("down")) $("down").hidden = isLow(); };
document.addEventListener("desk:low", paint);

/* Copy and link: for the message under the pointer, or the one that has the focus. */
let at = null;
const show = (bubble) => {
  const tools = $("tools");
  if (!tools || at === bubble) return;
  at = bubble;
  tools.hidden = !bubble;
  if (!bubble) return;
  const box = bubble.querySelector(".body").getBoundingClientRect(), pane = $("thread").getBoundingClientRect();
  tools.style.top = `${Math.max(pane.top + 4, box.top - 14)}px`;
  tools.style.left = `${Math.min(Math.max(box.right - tools.offsetWidth - 8, pane.left + 8), pane.right - tools.offsetWidth - 8)}px`;
};
for (const name of ["mouseover", "focusin"]) document.addEventListener(name, ({ target }) => {
  if (!target.closest?.("#tools")) show(target.closest?.("#thread .bubble") || null);
});
document.addEventListener("scroll", ({ target }) => { if (target.id === "thread") show(null); }, true);
const put = (words, said) => navigator.clipboard.writeText(words).then(() => { $("announce").textContent = said; }, () => toast("The browser does not let this page copy."));
export const copy = () => { if (at) put((at.querySelector(".text") || at.querySelector(".body")).innerText.trim(), "Copied."); };
export const link = () => { if (at) put(`${location.origin}${location.pathname}#${at.id.replace(/^m/, "m-")}`, "Link copied."); };
document.addEventListener("click", (event) => {
  const { target } = event, does = target.closest?.("[data-do]"), inner = target.closest?.("#live a[href^='#']"), earlier = target.closest?.(".earlier");
  if (does) ({ copy, link })[does.dataset.do]?.();
  if (target.closest?.("#down")) toEnd();
  if (earlier) event.preventDefault(), ask({ since: earlier.dataset.since });
  if (inner) event.preventDefault(), $("contact").matches(":popover-open") && $("contact").hidePopover(), find(inner.hash.slice(1), inner.dataset.at);
});

/* From message to message, and to what is new. */
export const step = (by) => {
  const bubbles = all("#thread .bubble"), now = bubbles.indexOf(document.activeElement.closest(".bubble"));
  const next = bubbles[now < 0 ? bubbles.length - 1 : Math.max(0, Math.min(bubbles.length - 1, now + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
};
export const toNew = () => ($("new") ? $("new").scrollIntoView({ block: "center" }) : toEnd());
