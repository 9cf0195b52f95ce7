/* What rings and tells, as each browser likes it; kept there. */
import { $ } from "./swap.js";

const LIKED = { queue: true, mine: true, mention: true, volume: 5, from: "", to: "", desktop: false, push: false };
const kept = () => { try { return JSON.parse(localStorage.getItem("baton-tuning")) || {}; } catch { return {}; } };
const tuned = { ...LIKED, ...(localStorage.getItem("baton-sound") === "off" ? { volume: 0 } : {}), ...kept() };
const form = $("tuning").querySelector("form"), said = (words) => { $("tuning-said").textContent = words; };
const keep = () => { localStorage.setItem("baton-tuning", JSON.stringify(tuned)); paint(); };
const paint = () => {
  for (const [name, value] of Object.entries(tuned)) {
    const field = form.elements[name];
    if (field) field.type === "checkbox" ? (field.checked = value) : (field.value = value);
  }
  const on = tuned.volume > 0 && (tuned.queue || tuned.mine || tuned.mention);
  $("sound").querySelector(".state").textContent = on ? "on" : "off";
};

export const rings = (what) => tuned[what === "given" ? "mine" : what] && !isQuiet();
export const volume = () => tuned.volume / 10;
export const isQuiet = (at = new Date()) => {
  if (!tuned.from || !tuned.to || tuned.from === tuned.to) return false;
  const now = at.toTimeString().slice(0, 5);
  return tuned.from < tuned.to ? now >= tuned.from && now < tuned.to : now >= tuned.from || now < tuned.to;
};
/* Outside of the page nothing personal is shown: others may see that screen. */
export const notify = (words) => {
  if (!tuned.desktop || !document.hidden || globalThis.Notification?.permission !== "granted") return;
  const shown = new Notification("Baton", { body: words, tag: "baton", silent: true });
  shown.addEventListener("click", () => { focus(); shown.close(); });
};

const mayTell = async () => {
  if (!("Notification" in globalThis)) return said("This browser can't tell you anything outside of a page."), false;
  const may = Notification.permission === "default" ? await Notification.requestPermission() : Notification.permission;
  if (may !== "granted") said("The browser does not allow it; allow notifications for this site in its settings first.");
  return may === "granted";
};
const bytes = (words) => Uint8Array.from(atob(words.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const post = (address, words, more = {}) => fetch(address, { method: "POST", body: new URLSearchParams(words), headers: { "HX-Request": "true" }, ...more });
const subscription = async () => (await navigator.serviceWorker?.getRegistration("/"))?.pushManager?.getSubscription();
const subscribe = async () => {
  const worker = await navigator.serviceWorker.register("/push-worker.js", { scope: "/" });
  const applicationServerKey = bytes(await (await fetch("/push")).text());
  const made = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
  const { endpoint, keys } = made.toJSON();
  if (!(await post("/push", { endpoint, ...keys })).ok) throw new Error("the desk does not know this push service");
};
const unsubscribe = async () => {
  const made = await subscription();
  if (made) await post("/push/end", { endpoint: made.endpoint }, { keepalive: true }), await made.unsubscribe();
};
const choose = async ({ name, checked }) => {
  said("");
  try {
    if (name === "push") await ((tuned.push = checked && (await mayTell())) ? subscribe() : unsubscribe());
    else tuned.desktop = checked && (await mayTell());
  } catch (why) {
    tuned[name] = false;
    said(`This browser can't do that here (${why.message}).`);
  }
  keep();
};
form.addEventListener("input", ({ target }) => {
  if (target.name === "push" || target.name === "desktop") return void choose(target);
  tuned[target.name] = target.type === "checkbox" ? target.checked : target.name === "volume" ? Number(target.value) : target.value;
  keep();
});
$("sound").addEventListener("click", () => $("tuning").showModal());
/* Who signs out is not told any more. */
document.addEventListener("submit", ({ target }) => { if (target.action.endsWith("/signout") && tuned.push) tuned.push = false, keep(), unsubscribe(); });
if (tuned.push) subscription().then((made) => { if (!made) tuned.push = false, keep(); });
paint();
