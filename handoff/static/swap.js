/* Swaps that keep what stays: elements with the same id and the same words, and so focus, selection and scroll. */
export const $ = (id) => document.getElementById(id);
export const all = (query, root = document) => [...root.querySelectorAll(query)];
/* What other files do when something was drawn: `desk:drawn` on the document, `detail` is the id of what it was in. */
const tell = (id) => document.dispatchEvent(new CustomEvent("desk:drawn", { detail: id }));

const reconcile = (old, fresh) => {
  const wanted = new Set([...fresh.children].map((child) => child.id));
  const had = new Map();
  for (const child of [...old.children]) wanted.has(child.id) ? had.set(child.id, child) : child.remove();
  const added = [];
  let place = old.firstElementChild;
  for (const next of [...fresh.children]) {
    let here = had.get(next.id);
    if (here && next.hasAttribute("data-keyed")) {
      for (const { name, value } of next.attributes) if (name !== "open") here.setAttribute(name, value);
      added.push(...reconcile(here, next));
    } else if (here) {
      if (here.tagName === "DETAILS") next.open = here.open;
      if (!here.isEqualNode(next)) {
        if (place === here) place = next;
        here.replaceWith(next);
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
  for (const row of all(".row", root)) row.pathname === location.pathname ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
};

let low = true;  // the newest message is in sight, and stays so
export const toEnd = () => { low = true; $("thread")?.scrollTo(0, $("thread").scrollHeight); };

htmx.defineExtension("keyed", {
  handleSwap(style, target, fragment) {
    if (style !== "keyed") return false;
    mark(fragment);
    const [stay, added] = [low, reconcile(target, fragment)];
    if (stay) toEnd();
    tell(target.id);
    return added;
  },
});

const opened = () => {
  if (innerWidth < 1240) $("tried")?.removeAttribute("open");
  $("thread").addEventListener("scroll", ({ target: it }) => { low = it.scrollHeight - it.scrollTop - it.clientHeight < 90; });
  new ResizeObserver(() => { if (low) toEnd(); }).observe($("thread"));  // a reply that grows hides nothing
  tell("conversation");
  mark();
  toEnd();
  if (getComputedStyle($("lists")).display === "none") $("conversation").focus();
};
document.addEventListener("htmx:afterSwap", ({ target }) => { if (target.id === "conversation" && $("thread")) opened(); });
document.addEventListener("htmx:pushedIntoHistory", () => mark());
document.addEventListener("baton:replied", toEnd);
for (const [name, lost] of [["Error", true], ["Open", false]]) document.addEventListener(`htmx:sse${name}`, () => { $("offline").hidden = !lost; });
/* Once every file has said what it listens to. */
document.addEventListener("DOMContentLoaded", () => { if ($("live")) opened(); });
