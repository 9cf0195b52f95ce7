/* The lists' counts, the title, the bell. */
import { $, all } from "./swap.js";
import { notify, rings, volume } from "./tuning.js";

const words = (text) => text.split(" ").filter(Boolean);
let known = null, audio = null;
const ring = () => {
  if (!audio || !volume()) return;
  [660, 880].forEach((pitch, n) => {
    const tone = audio.createOscillator(), loud = audio.createGain(), at = audio.currentTime + n * 0.14;
    tone.frequency.value = pitch;
    loud.gain.setValueAtTime(0.0001, at);
    loud.gain.exponentialRampToValueAtTime(0.12 * volume(), at + 0.02);
    loud.gain.exponentialRampToValueAtTime(0.0001, at + 0.3);
    tone.connect(loud).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.32);
  });
};
/* Keys of the queue are plain, key@moment of who answered us, key@given of who was given to us, key!number of where we are mentioned. */
const KINDS = {
  queue: ({ newest }) => [`New in the queue. ${newest}`, "Somebody waits in the queue."],
  mine: ({ asked }) => [`New message. ${asked}`, "Somebody answered you."],
  given: ({ asked }) => [`Given to you. ${asked}`, "Somebody was given to you."],
  mention: () => ["A colleague mentioned you in a note.", "A colleague mentioned you in a note."],
};
const kindOf = (key) => (key.includes("@given") ? "given" : key.includes("@") ? "mine" : key.includes("!") ? "mention" : "queue");
const look = () => {
  const waiting = $("waiting").dataset;
  const keys = new Set([...words(waiting.keys), ...words(waiting.mentioned)]);
  const inSight = (key) => /[@!]/.test(key) && !document.hidden && location.pathname.endsWith(`/${key.split(/[@!]/)[0]}`);
  const news = known ? [...keys].filter((key) => !known.has(key) && !inSight(key)) : [];
  const kinds = new Set(news.map(kindOf));
  if (news.length) {
    const [here, outside] = KINDS[kindOf(news[0])](waiting);
    $("announce").textContent = here;
    if ([...kinds].some(rings)) ring(), notify(outside);
  }
  known = keys;
  for (const count of all(".count[id^=count-]")) count.textContent = waitingOf(count.id.slice(6)) ?? count.textContent;
  document.title = document.title.replace(/^(\(\d+\) )?/, keys.size ? `(${keys.size}) ` : "");
  document.querySelector("link[rel=icon]").href = keys.size ? "/static/baton-waits.svg" : "/static/baton.svg";
  const next = words(waiting.next).find((key) => !location.pathname.endsWith(`/${key}`));
  $("next").hidden = !next;
  if (next) {
    $("next").dataset.key = next;
    $("next-name").textContent = waiting.nextNames.split("\n")[words(waiting.next).indexOf(next)] || "";
  }
};
const waitingOf = (word) => $("waiting").getAttribute(`data-${word}`);
$("try-bell").addEventListener("click", ring);
for (const gesture of ["click", "keydown"]) addEventListener(gesture, () => { audio ??= new AudioContext(); }, { once: true });
document.addEventListener("desk:drawn", ({ detail }) => { if (detail === "rows") look(); });
document.addEventListener("htmx:pushedIntoHistory", look);
look();
