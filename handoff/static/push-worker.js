/* Runs while no desk is open: shows what we are told, which names nobody, and opens the desk when it is clicked. */
addEventListener("push", (event) => {
  const told = event.data ? event.data.json() : {};
  event.waitUntil(registration.showNotification(told.title || "Somebody waits for you", { body: told.body || "", tag: "baton", icon: "/static/baton.svg" }));
});
addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil((async () => {
    const [open] = await clients.matchAll({ type: "window" });
    await (open ? open.focus() : clients.openWindow("/"));
  })());
});
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
