/* Templates: a text Meta approved, with its gaps, as the contact will see it. Offered in place when the window is closed. */
import { $, all } from "./swap.js";
import { toast } from "./toasts.js";
import { conversationOf } from "./drafts.js";
import { post } from "./sending.js";

let offered = "";  // the conversation whose closed window was answered by showing them; closed by hand, they stay closed
const bar = () => $("bar")?.dataset || {};
const isShut = () => bar().mayTemplate === "yes" && bar().mayReply !== "yes";
const why = () => isShut() ? "The 24-hour window is closed, so WhatsApp takes only these. What you wrote stays in the reply." : "For when the window is closed; WhatsApp bills them.";
const close = () => {
  if (!$("templates") || $("templates").hidden) return;
  $("templates").hidden = true;
  $("template-button").setAttribute("aria-expanded", "false");
};
const open = async (focus) => {
  const panel = $("templates");
  if (bar().mayTemplate !== "yes") return toast($("hint")?.textContent || "Take the conversation first.");
  if (!panel.childElementCount) {
    const answer = await fetch(panel.dataset.url, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok || answer.headers.has("HX-Redirect")) return toast("The templates can't be read just now.");
    if (!panel.isConnected) return;
    panel.innerHTML = await answer.text();
  }
  $("templates-why").textContent = why();
  panel.hidden = false;
  $("template-button").setAttribute("aria-expanded", "true");
  if (focus) ($("templates-find") || $("templates-close")).focus();
};
const chosen = () => all("#templates form.template").find((form) => !form.hidden);
const fill = (form) => {
  for (const gap of all(".gap", form)) {
    const said = form.querySelector(`[data-fills="${CSS.escape(gap.dataset.gap)}"]`)?.value.trim();
    gap.textContent = said || gap.dataset.gap;
    gap.classList.toggle("filled", Boolean(said));
  }
};
const find = (wanted) => {
  const labels = all("#templates .of-templates");
  for (const label of labels) label.hidden = !label.textContent.toLowerCase().includes(wanted.toLowerCase().trim());
  $("templates").querySelector(".none").hidden = labels.some((label) => !label.hidden);
};
document.addEventListener("click", ({ target }) => {
  if (target.closest("#template-button")) $("templates").hidden ? open(true) : close();
  if (target.closest("#templates-close")) close(), $("reply").elements.text.focus();
});
document.addEventListener("change", ({ target }) => {
  if (target.name !== "template") return;
  for (const form of all("#templates form.template")) form.hidden = form.id !== `template-${target.value}`;
  $("templates").querySelector(".choose").hidden = true;
  fill(chosen());
});
document.addEventListener("input", ({ target }) => {
  if (target.id === "templates-find") find(target.value);
  else if (target.closest("form.template")) fill(target.form);
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("form.template")) return;
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  post({ conversation: conversationOf(form), mode: "template", url: form.getAttribute("action"), fields, text: form.querySelector(".preview .text").textContent });
  form.reset();
  fill(form);
  close();
  $("reply").elements.text.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !event.target.closest?.("#templates")) return;
  event.preventDefault();
  close();
  $("template-button").focus();
});
document.addEventListener("desk:drawn", ({ detail }) => {
  if (detail === "rows" || !$("templates")) return;
  if (detail === "conversation") offered = "";
  const key = conversationOf($("templates"));
  if (isShut() && offered !== key) offered = key, open(false);
  else if (!isShut()) {
    if (offered === key && !chosen()) close();
    offered = "";
  }
});
