/* Short words at the edge of a page: they go by themselves after a while. */
const toasts = document.getElementById("toasts");
export const toast = (words) => toasts.append(Object.assign(document.createElement("div"), { className: "toast", role: "alert", textContent: words }));
new MutationObserver((changed) => changed.forEach(({ addedNodes }) => addedNodes.forEach((node) => setTimeout(() => node.remove(), 9000))))
  .observe(toasts, { childList: true });
