/* Writing: what is typed is a draft at once; Enter hands it to sending.js, which keeps it until the desk has it. */
import { $, all } from "./swap.js";
import { toast } from "./toasts.js";
import { conversationOf, draftOf, keepDraft } from "./drafts.js";
import { post } from "./sending.js";
import { attached, clearAttached } from "./attaching.js";
import { quoted, quote } from "./quoting.js";
import { gapsIn, toGap, notByHabit, write } from "./field.js";
import { close as closeQuick } from "./quick.js";
import "./suggested.js";
import "./templates.js";

const TEXT_MAX = 4096, CAPTION_MAX = 1024, NEAR = 300;
let warned = "";  // the words whose gaps somebody was told of, and sends all the same

const keep = (form) => keepDraft(conversationOf(form), form.id, { text: form.elements.text.value, quote: form.id === "reply" ? quoted() : undefined });
const sync = () => { if ($("reply") && $("bar")) $("reply").querySelector("button").disabled = $("bar").dataset.mayReply !== "yes"; };
const isReply = (form) => form.id === "reply";
const most = (form) => isReply(form) && attached().length ? CAPTION_MAX : TEXT_MAX;
const measure = (form) => {
  const { text } = form.elements, length = text.value.length, over = length - most(form), gaps = isReply(form) ? gapsIn(text.value) : [];
  form.classList.toggle("too-long", over > 0);
  if (!isReply(form)) return;
  const said = over > 0 ? `${over} characters too many: WhatsApp takes ${most(form)}.` : over > -NEAR ? `${-over} characters left` : gaps.length ? `Still to fill in: ${gaps.join(", ")}` : "";
  if ($("under-reply").textContent !== said) $("under-reply").textContent = said;
  $("under-reply").classList.toggle("warns", over > 0 || gaps.length > 0);
};

/* Send what a field holds, or say why that can't be. */
export const send = (field) => {
  const form = field.form, files = isReply(form) ? attached() : [], text = field.value.trim();
  if (!text && !files.length) return;
  if (form.querySelector("button").disabled) return toast($("hint")?.textContent || "That can't be sent now.");
  if (text.length > most(form)) return toast(`WhatsApp takes ${most(form)} characters here; this has ${text.length}. Send it in two parts.`);
  if (text && files[0]?.kind === "audio") return toast("WhatsApp shows no words with sound: send the words first, then the sound.");
  if (isReply(form) && gapsIn(text).length && warned !== text) {
    warned = text;
    toGap(field);
    return toast(`Fill in ${gapsIn(text).join(", ")} first. To send it as it is, press Send again.`);
  }
  go(form, text, files);
};
const go = (form, text, files) => {
  const conversation = conversationOf(form), mode = form.id, to = isReply(form) ? quoted() : null;
  const quotes = to ? { to: to.id } : {}, whole = new URL($("live").getAttribute("hx-get"), location).search;
  if (files.length) files.forEach((one, n) => post({ conversation, mode, quote: n ? null : to, text: n ? "" : text, url: `/conversations/${conversation}/file${whole}`,
    fields: { caption: n ? "" : text, ...(one.asDocument ? { as_document: "1" } : {}), ...(n ? {} : quotes) } }, one.file));
  else post({ conversation, mode, quote: to, text, url: form.getAttribute("action") + whole, fields: { text, ...quotes } });
  form.elements.text.value = "";
  warned = "";
  clearAttached();
  closeQuick();
  if (isReply(form)) quote(null);
  keep(form);
  measure(form);
};

document.addEventListener("submit", (event) => {
  if (!event.target.matches(".write")) return;
  event.preventDefault();
  send(event.target.elements.text);
});
document.addEventListener("desk:drawn", ({ detail }) => {
  if (detail === "conversation") for (const form of all(".write")) {
    const draft = draftOf(conversationOf(form), form.id);
    form.noValidate = true;
    form.elements.text.value = draft.text || "";
    if (isReply(form)) quote(draft.quote || null);
    measure(form);
  }
  if (detail !== "rows") sync();
});
document.addEventListener("input", ({ target }) => { if (target.matches(".write textarea")) keep(target.form), measure(target.form); });
document.addEventListener("baton:quoted", () => keep($("reply")));
for (const name of ["baton:draft", "baton:attached"]) document.addEventListener(name, () => all(".write").forEach(measure));
document.addEventListener("htmx:afterRequest", ({ detail: { elt, successful, xhr } }) => {
  if (!successful && elt.method === "post" && (!xhr.status || xhr.status >= 500)) toast("That did not reach the desk. Try again in a moment.");
});
document.addEventListener("baton:taken", () => {
  if (document.activeElement?.closest("#reply")) return;  // they write already
  write("reply");
  notByHabit();
});
