/* Swaps that keep what stays: elements with the same id and the same words, and so focus, selection and scroll. */
export const $ = (id) => document.getElementById(id);
export const all = (query, root = document) => [...root.querySelectorAll(query)];
/* What other files do when something was drawn: `desk:drawn` on the document, `detail` is the id of what it was in. */
const tell = (id) => document.dispatchEvent(new CustomEvent("desk:drawn", { detail: id }));

/* What is being filled in stays filled in, and the field that was typed in has the focus again: another answer of the
   desk may redraw the form around it at any moment (a colleague steps away, and the list of colleagues says so). */
const fieldsOf = (root) => all("input:not([type=hidden]), select, textarea", root);
const same = (root, field) => fieldsOf(root).find((one) => one.name === field.name && (field.type !== "radio" || one.value === field.value));
const isChanged = (field) => field.tagName === "SELECT" || (/^(radio|checkbox)$/.test(field.type) ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);
const carry = (old, next) => {
  const at = document.activeElement, typed = old.contains(at) && at.matches("input, select, textarea") && same(next, at);
  const caret = typed && /^(text|textarea)$/.test(at.type) ? [at.selectionStart, at.selectionEnd] : null;
  for (const field of fieldsOf(old).filter(isChanged)) {
    const here = same(next, field);
    if (!here) continue;
    if (/^(radio|checkbox)$/.test(field.type)) here.checked = field.checked;
    else if (field.tagName !== "SELECT" || all("option", here).some((one) => one.value === field.value)) here.value = field.value;
  }
  return () => { if (typed) typed.focus({ preventScroll: true }), caret && typed.setSelectionRange(...caret); };
};

/* Each id counts once, in the old and in the new: what comes twice, or has none, is simply put there anew. */
const reconcile = (old, fresh) => {
  const wanted = new Set([...fresh.children].map((child) => child.id).filter(Boolean));
  const had = new Map();
  for (const child of [...old.children]) wanted.has(child.id) && !had.has(child.id) ? had.set(child.id, child) : child.remove();
  const added = [];
  let place = old.firstElementChild;
  for (const next of [...fresh.children]) {
    let here = had.get(next.id);
    had.delete(next.id);
    if (here && next.hasAttribute("data-keyed")) {
      for (const { name, value } of next.attributes) if (name !== "open" && here.getAttribute(name) !== value) here.setAttribute(name, value);
      for (const one of reconcile(here, next)) added.push(one);
    } else if (here) {
      if (here.tagName === "DETAILS") next.open = here.open;
      if (!here.isEqualNode(next)) {
        if (place === here) place = next;
        const focus = here.tagName === "DETAILS" && here.open ? carry(here, next) : () => {};
        here.replaceWith(next);
        focus();
        added.push((here = next));
      }
    } else added.push((here = next));
    if (here === place) place = here.nextElementSibling;
    else old.insertBefore(here, place);
  }
  return added;
};

/* The row of the conversation that stands open is marked. */
export const mark = (root = document) => {
  // Not by row.pathname: what has just come belongs to no page yet, and its links lead nowhere.
  for (const row of all(".row", root)) new URL(row.getAttribute("href"), location.href).pathname === location.pathname ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
};

let low = true;  // the newest message is in sight, and stays so
export const isLow = () => low;
export const toEnd = () => { low = true; $("thread")?.scrollTo(0, $("thread").scrollHeight); };
/* What is read stays where it is, whatever comes above it. */
const held = (thread) => {
  const top = thread.getBoundingClientRect().top;
  const anchor = all(".bubble", thread).find((one) => one.getBoundingClientRect().bottom > top);
  const was = anchor?.getBoundingClientRect().top;
  return () => {
    const now = anchor && $(anchor.id);
    if (now) thread.scrollTop += now.getBoundingClientRect().top - was;
  };
};
/* What had the focus and was drawn anew has it again. */
const refocused = () => {
  const at = document.activeElement, id = at?.id || at?.closest("[id]")?.id, was = at === document.body;
  return () => { if (!was && !at?.isConnected && id && document.activeElement === document.body) ($(id)?.matches("form, details") ? $(id).querySelector("button, summary, input") : $(id))?.focus({ preventScroll: true }); };
};

htmx.defineExtension("keyed", {
  handleSwap(style, target, fragment) {
    if (style !== "keyed") return false;
    mark(fragment);
    const thread = target.id === "live" && $("thread");
    const tried = fragment.querySelector("#tried");
    if (tried && innerWidth < 1240 && !$("tried")) tried.removeAttribute("open");
    const [hold, refocus] = [thread && !low ? held(thread) : () => {}, refocused()];
    const added = reconcile(target, fragment);
    if (low) toEnd();
    hold();
    refocus();
    tell(target.id);
    return added;
  },
});
/* Who asked may be gone when the answer comes (the form to pass a conversation on, once it is passed on). htmx looks for
   the extension above who asked, finds nothing, and would fall back to its default for ever if that were "keyed". */
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const asked = detail.requestConfig?.elt;
  if (asked && !asked.isConnected) asked.setAttribute("hx-ext", "keyed");
});

const opened = () => {
  if (innerWidth < 1240) $("tried")?.removeAttribute("open");
  $("thread").addEventListener("scroll", ({ target: it }) => {
    const now = it.scrollHeight - it.scrollTop - it.clientHeight < 90;
    if (now !== low) low = now, document.dispatchEvent(new CustomEvent("desk:low"));
  });
  new ResizeObserver(() => { if (low) toEnd(); }).observe($("thread"));  // a reply that grows hides nothing
  toEnd();
  tell("conversation");
  mark();
  if (getComputedStyle($("lists")).display === "none") $("conversation").focus();
};
document.addEventListener("htmx:afterSwap", ({ target }) => { if (target.id === "conversation" && $("thread")) opened(); });
document.addEventListener("htmx:pushedIntoHistory", () => mark());
document.addEventListener("baton:replied", toEnd);
for (const [name, lost] of [["Error", true], ["Open", false]]) document.addEventListener(`htmx:sse${name}`, () => { $("offline").hidden = !lost; });
/* Once every file has said what it listens to. */
document.addEventListener("DOMContentLoaded", () => { if ($("live")) opened(); });
