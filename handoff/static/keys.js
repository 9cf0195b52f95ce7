/* What a key does, and how the help sheet says it: one list, so that neither knows more than the other. */
import { $, all } from "./swap.js";
import { markUnread } from "./sight.js";
import { copy, link, step, toNew } from "./transcript.js";
import { unfold } from "./aside.js";
import { notByHabit, write } from "./field.js";

const move = (by) => {
  const rows = all(".row"), at = rows.indexOf(document.activeElement.closest(".row") || document.querySelector(".row[aria-current]"));
  (rows[Math.max(0, Math.min(rows.length - 1, at + by))] || document.body).focus();
};
export const fold = (id, open, query) => { if ($(id)) $(id).open = open, $(id).querySelector(query).focus(); };
const press = (id) => $(id)?.querySelector("button").click(), list = (n) => all("[name=show]")[n]?.click();
/* What is typed after a take is text, however long the desk needs to answer: so it is the reply's from the first letter on. */
const take = () => { if ($("do-take") || $("bar")?.dataset.mayReply === "yes") press("do-take"), write("reply"), notByHabit(); };
const contact = () => {
  const sheet = $("contact");
  if (!sheet) return;
  if (getComputedStyle(sheet).position === "fixed" || !sheet.offsetParent) sheet.togglePopover();
  $("contact-name").focus();
};
export const next = () => {
  const key = !$("next").hidden && $("next").dataset.key, row = key && $(`row-${key}`);
  if (row) row.click(), row.focus();
  else if (key) location.href = `/conversations/${key}`;
};

/* Keys, what they do in words, and how. A key in several lists would be a mistake; a test looks. */
export const KEYS = {
  "In the lists": [
    ["j ArrowDown", "next conversation in the list", () => move(1)],
    ["k ArrowUp", "the one before", () => move(-1)],
    ["Enter", "open it"],
    ["x", "the next one that needs you", next],
    ["1 2 3 4", "queue, mine, others, bot", list],
    ["5 6 7 8 9", "mentions, and views you kept", list],
    ["/", "filter by name, number or words; Enter there searches everything said", () => $("find").focus()],
    ["s", "search everything said; Esc goes back to the lists"],
    ["f", "narrow by reason, tag, window …", () => fold("narrow", !$("narrow").open, $("narrow").open ? "summary" : "select")],
  ],
  "With a conversation": [
    ["t", "take it, and write", take],
    ["r", "write a reply", () => write("reply")],
    ["n", "write a note; @ mentions a colleague", () => write("note")],
    ["p", "pass it on to a colleague or a team", () => fold("pass", true, "select")],
    ["q", "put it back into the queue", () => press("do-requeue")],
    ["g", "give it back to the bot: Enter says solved, 1 … 5 how else it went", () => unfold("wrapup")],
    ["z", "snooze it; take it up again", () => ($("snooze") ? unfold("snooze") : press("do-wake"))],
    ["#", "put a tag on it", () => fold("tagging", true, "input")],
    ["u", "mark it unread", markUnread],
    ["i", "the contact", contact],
  ],
  "In the transcript": [
    ["J", "next message", () => step(1)],
    ["K", "the one before", () => step(-1)],
    ["c", "copy its text", copy],
    ["l", "copy a link to it", link],
    ["w", "to what is new, or to the end", toNew],
  ],
  "Writing": [
    ["Enter", "send"],
    ["Shift+Enter", "a new line"],
    ["/", "choose a quick reply"],
    ["Alt+1 Alt+2 Alt+3", "begin with an answer that was given before"],
    ["Alt+ArrowUp Alt+ArrowDown", "quote a message"],
    ["Esc", "leave the field"],
  ],
  "Always": [
    ["a", "step away, or be available again", () => press("available")],
    [",", "sounds and notifications", () => $("tuning").showModal()],
    ["?", "this sheet", () => $("help").showModal()],
  ],
};
export const DOES = {};
for (const rows of Object.values(KEYS)) for (const [keys, , does] of rows) if (does) for (const key of keys.split(" ")) DOES[key] = /\d/.test(key) ? () => does(Number(key) - 1) : does;

const SHOWN = { ArrowDown: "↓", ArrowUp: "↑" };
const made = (tag, ...inside) => { const one = document.createElement(tag); one.append(...inside); return one; };
const short = (keys) => (keys.length > 3 ? [keys[0], "…", keys.at(-1)] : keys);
const drawn = (keys) => short(keys.split(" ")).flatMap((key, n) => [n ? " " : "", ...(key === "…" ? key : key.split("+").flatMap((part, m) => [m ? "+" : "", made("kbd", SHOWN[part] || part)]))]);
$("all-keys").append(...Object.entries(KEYS).map(([title, rows]) => {
  const all = made("dl", ...rows.map(([keys, words]) => made("div", made("dt", ...drawn(keys)), made("dd", words))));
  all.className = "keys";
  return made("section", made("h3", title), all);
}));
