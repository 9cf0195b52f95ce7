/* Attaching: files chosen, pasted or dropped, looked at before they go, refused early where WhatsApp would refuse them. */
import { $ } from "./swap.js";
import { toast } from "./toasts.js";

const MB = 2 ** 20, MANY = 10;
let files = [];
export const attached = () => files;
export const clearAttached = () => { files = []; paint(); };
const limits = () => JSON.parse(document.querySelector(".composer").dataset.limits);
const sized = (bytes) => bytes < MB ? `${Math.max(1, Math.round(bytes / 1000))} kB` : `${(bytes / MB).toFixed(1)} MB`;

/* What it goes as, or why it does not. */
const judged = (file) => {
  const { kinds, documents, most, taken } = limits(), ending = file.name.split(".").at(-1).toLowerCase();
  if (!file.size) return { refused: `${file.name} is empty.` };
  if (file.size > most) return { refused: `${file.name} has ${sized(file.size)}; WhatsApp takes at most ${most / MB} MB.` };
  const kind = Object.keys(kinds).find((one) => kinds[one].types.includes(file.type.split(";")[0].replace("audio/x-m4a", "audio/mp4")));
  if (kind) return { kind, asDocument: file.size > kinds[kind].most };
  return documents.includes(ending) ? { kind: "document", asDocument: false } : { refused: `${taken}; ${file.name} is none of them.` };
};
const add = (chosen) => {
  for (const file of chosen) {
    const found = files.length >= MANY ? { refused: `At most ${MANY} files at a time.` } : judged(file);
    if (found.refused) toast(found.refused);
    else files.push({ file, kind: found.kind, asDocument: found.asDocument, forced: found.asDocument });
  }
  paint();
  document.querySelector(".modes input[value=reply]").checked = true;
  $("reply").elements.text.focus();
};
const element = (name, more, ...children) => { const made = Object.assign(document.createElement(name), more); made.append(...children); return made; };
const pictured = (one) => {
  const shown = element("img", { alt: "" }), reader = new FileReader();
  reader.addEventListener("load", () => { shown.src = reader.result; });
  reader.readAsDataURL(one.file);
  return shown;
};
const row = (one) => {
  const away = element("button", { type: "button", className: "plain", textContent: "✕" });
  away.setAttribute("aria-label", `Don't send ${one.file.name}`);
  away.addEventListener("click", () => { files = files.filter((other) => other !== one); paint(); $("reply").elements.text.focus(); });
  const tick = element("input", { type: "checkbox", checked: one.asDocument, disabled: one.forced });
  tick.addEventListener("change", () => { one.asDocument = tick.checked; });
  const as = one.kind === "document" ? [] : [element("label", { className: "quiet" }, tick, one.forced ? " as a document: too large for a preview" : " as a document")];
  const icon = one.kind === "image" ? pictured(one) : element("span", { className: "icon", textContent: { video: "▶", audio: "♪", document: "▤" }[one.kind] });
  return element("li", {}, icon, element("span", { className: "what" }, element("strong", { textContent: one.file.name }), element("span", { className: "quiet", textContent: sized(one.file.size) }), ...as), away);
};
const paint = () => {
  if (!$("attached")) return;
  $("attached").hidden = !files.length;
  $("attached").replaceChildren(...files.map(row));
  $("reply").classList.toggle("with-file", files.length > 0);
  document.dispatchEvent(new CustomEvent("baton:attached"));
};
const refused = () => $("bar")?.dataset.mayReply !== "yes";
const take = (chosen) => refused() || !document.querySelector(".composer").dataset.limits ? toast($("hint")?.textContent || "Files can't be sent now.") : add(chosen);

document.addEventListener("click", ({ target }) => { if (target.closest("#attach-button")) refused() ? take([]) : $("attach").click(); });
document.addEventListener("change", ({ target }) => { if (target.id === "attach" && target.files.length) take([...target.files]), target.value = ""; });
document.addEventListener("paste", (event) => {
  const pasted = [...event.clipboardData?.files || []];
  if (!pasted.length || !event.target.matches("#reply textarea") || event.clipboardData.types.includes("text/plain")) return;
  event.preventDefault();
  take(pasted);
});
const carries = (event) => $("reply") && event.target.closest?.("#conversation") && event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(), $("conversation").classList.add("drop"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget?.closest?.("#conversation")) $("conversation").classList.remove("drop"); });
document.addEventListener("drop", (event) => {
  $("conversation").classList.remove("drop");
  if (!carries(event)) return;
  event.preventDefault();
  take([...event.dataTransfer.files]);
});
document.addEventListener("desk:drawn", ({ detail }) => { if (detail === "conversation") files = []; });
