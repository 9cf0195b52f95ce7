/* The queue's counts, the title, the bell. */
import { $ } from "./swap.js";

let known = new Set($("waiting").dataset.keys.split(" ")), audio = null;
let sound = localStorage.getItem("baton-sound") !== "off";
const ring = () => {
  if (!sound || !audio) return;
  [660, 880].forEach((pitch, n) => {
    const tone = audio.createOscillator(), volume = audio.createGain(), at = audio.currentTime + n * 0.14;
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.0001, at);
    volume.gain.exponentialRampToValueAtTime(0.06, at + 0.02);
    volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.3);
    tone.connect(volume).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 0.32);
  });
};
const look = () => {
  const waiting = $("waiting").dataset;
  const keys = new Set(waiting.keys.split(" ").filter(Boolean));  // of the queue; key@moment of who answered us
  const inSight = (key) => key.includes("@") && !document.hidden && location.pathname.endsWith(key.split("@")[0]);
  const news = [...keys].find((key) => !known.has(key) && !inSight(key));
  if (news) ring(), $("announce").textContent = news.includes("@given") ? `Given to you. ${waiting.asked}` : news.includes("@") ? `New message. ${waiting.asked}` : `New in the queue. ${waiting.newest}`;
  known = keys;
  for (const list of ["queue", "mine", "others", "bot"]) $(`count-${list}`).textContent = waiting[list];
  document.title = document.title.replace(/^(\(\d+\) )?/, keys.size ? `(${keys.size}) ` : "");
};
const paintSound = () => {
  $("sound").setAttribute("aria-pressed", sound);
  $("sound").querySelector(".state").textContent = sound ? "on" : "off";
};
$("sound").addEventListener("click", () => {
  sound = !sound;
  localStorage.setItem("baton-sound", sound ? "on" : "off");
  paintSound();
  ring();
});
for (const gesture of ["click", "keydown"]) addEventListener(gesture, () => { audio ??= new AudioContext(); }, { once: true });
document.addEventListener("desk:drawn", ({ detail }) => { if (detail === "rows") look(); });
paintSound();
look();
