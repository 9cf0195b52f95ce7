/* The line to the desk: it hears only of what this page shows, and is opened anew where it stood when that changes. */
const shown = () => {
  const keys = [...document.querySelectorAll('[hx-trigger*="sse:conversation-"]')].map((it) => it.getAttribute("hx-trigger").match(/sse:conversation-([^ ,]+)/)[1]);
  return new URLSearchParams([["show", document.querySelector("[name=show]:checked")?.value ?? ""], ...[...new Set(keys)].sort().map((key) => ["key", key])]).toString();
};

class Line {
  heard = new Map();
  constructor(url) {
    this.url = new URL(url, location.href);
    this.since = this.url.searchParams.get("since") ?? "";
    this.open();
  }
  open() {
    this.shown = shown();
    this.source = new EventSource(`${this.url.pathname}?since=${this.since}&${this.shown}`, { withCredentials: true });
    this.source.onopen = (event) => this.onopen?.(event);
    this.source.onerror = (event) => this.onerror?.(event);
    for (const name of this.heard.keys()) this.hear(name);
  }
  hear(name) {
    this.source.addEventListener(name, (event) => {
      this.since = event.lastEventId || this.since;
      for (const listener of [...this.heard.get(name)]) listener(event);
    });
  }
  addEventListener(name, listener) {
    if (!this.heard.has(name)) this.heard.set(name, new Set()), this.hear(name);
    this.heard.get(name).add(listener);
  }
  removeEventListener(name, listener) { this.heard.get(name)?.delete(listener); }
  look() {
    if (this.source.readyState === EventSource.CLOSED || this.shown === shown()) return;
    this.source.close();
    this.open();
  }
  close() { this.source.close(); }
  get readyState() { return this.source.readyState; }
}

let line = null;
htmx.createEventSource = (url) => (line = new Line(url));
for (const name of ["htmx:afterSettle", "change"]) document.addEventListener(name, () => line?.look());
