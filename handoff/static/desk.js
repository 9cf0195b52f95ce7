/* The desk's few lines of script: swaps that keep what stays, keys, drafts, the bell. Everything else is HTML. */
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const all = (query, root = document) => [...root.querySelectorAll(query)];
  document.cookie = `baton_zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}; path=/; max-age=31536000; samesite=lax`;
  if (!$("lists")) return;

  /* --- swaps: elements with the same id and the same words stay, so focus, selection and scroll do too */
  const reconcile = (old, fresh) => {
    const wanted = new Set([...fresh.children].map((child) => child.id));
    const had = new Map();
    for (const child of [...old.children]) wanted.has(child.id) ? had.set(child.id, child) : child.remove();
    const added = [];
    let place = old.firstElementChild;
    for (const next of [...fresh.children]) {
      let here = had.get(next.id);
      if (here && next.hasAttribute("data-keyed")) {
        for (const { name, value } of next.attributes) if (name !== "open") here.setAttribute(name, value);
        added.push(...reconcile(here, next));
      } else if (here) {
        if (here.tagName === "DETAILS") next.open = here.open;
        if (!here.isEqualNode(next)) {
          if (place === here) place = next;
          here.replaceWith(next);
          added.push((here = next));
        }
      } else added.push((here = next));
      if (here === place) place = here.nextElementSibling;
      else old.insertBefore(here, place);
    }
    return added;
  };
  const mark = (root) => {
    for (const row of all(".row", root)) row.pathname === location.pathname ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
  };
  let low = true;  // the newest message is in sight, and stays so
  const toEnd = () => { low = true; $("thread")?.scrollTo(0, $("thread").scrollHeight); };
  htmx.defineExtension("keyed", {
    handleSwap(style, target, fragment) {
      if (style !== "keyed") return false;
      mark(fragment);
      const [stay, added] = [low, reconcile(target, fragment)];
      if (stay) toEnd();
      if (target.id === "rows") look(); else sync();
      return added;
    },
  });

  /* --- the queue: counts, title, bell */
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
      tone.connect(volume).connect(audio.destination); tone.start(at); tone.stop(at + 0.32);
    });
  };
  const look = () => {
    const waiting = $("waiting").dataset;
    const keys = new Set(waiting.keys.split(" ").filter(Boolean));  // of the queue; key@moment of who answered us
    const inSight = (key) => key.includes("@") && !document.hidden && location.pathname.endsWith(key.split("@")[0]);
    const news = [...keys].find((key) => !known.has(key) && !inSight(key));
    if (news) ring(), $("announce").textContent = news.includes("@") ? `New message. ${waiting.asked}` : `New in the queue. ${waiting.newest}`;
    known = keys;
    for (const list of ["queue", "mine", "others", "bot"]) $(`count-${list}`).textContent = waiting[list];
    document.title = document.title.replace(/^(\(\d+\) )?/, keys.size ? `(${keys.size}) ` : "");
  };
  const paintSound = () => { $("sound").setAttribute("aria-pressed", sound); $("sound").querySelector(".state").textContent = sound ? "on" : "off"; };
  $("sound").addEventListener("click", () => { sound = !sound; localStorage.setItem("baton-sound", sound ? "on" : "off"); paintSound(); ring(); });
  for (const gesture of ["click", "keydown"]) addEventListener(gesture, () => { audio ??= new AudioContext(); }, { once: true });

  /* --- writing: drafts survive everything, nothing is sent twice */
  const draftOf = (form) => `draft:${form.closest(".open").dataset.key}:${form.id}`;
  const keep = (form) => sessionStorage.setItem(draftOf(form), form.elements.text.value);
  const freshKey = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const sync = () => { if ($("reply") && $("bar")) $("reply").querySelector("button").disabled = $("bar").dataset.mayReply !== "yes"; };
  const opened = () => {
    for (const form of all(".write")) form.elements.text.value = sessionStorage.getItem(draftOf(form)) || "";
    if (innerWidth < 1240) $("tried")?.removeAttribute("open");
    $("thread").addEventListener("scroll", ({ target: it }) => { low = it.scrollHeight - it.scrollTop - it.clientHeight < 90; });
    new ResizeObserver(() => { if (low) toEnd(); }).observe($("thread"));  // a reply that grows hides nothing
    sync(); mark(document); toEnd();
    if (getComputedStyle($("lists")).display === "none") $("conversation").focus();
  };
  const toast = (words) => $("toasts").append(Object.assign(document.createElement("div"), { className: "toast", role: "alert", textContent: words }));
  new MutationObserver((changed) => changed.forEach(({ addedNodes }) => addedNodes.forEach((node) => setTimeout(() => node.remove(), 9000))))
    .observe($("toasts"), { childList: true });
  document.addEventListener("input", ({ target }) => { if (target.matches(".write textarea")) keep(target.form); });
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    if (!detail.elt.matches(".write")) return;
    const { text, client_key } = detail.elt.elements;
    detail.elt.sending = { text: text.value, key: client_key.value };
    text.value = ""; client_key.value = freshKey(); keep(detail.elt);
  });
  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    const { elt, successful, xhr } = detail;
    if (!successful && elt.method === "post" && (!xhr.status || xhr.status >= 500)) toast("That did not reach the desk. What you wrote is still here; try again.");
    if (!elt.sending) return;
    const { text, client_key } = elt.elements;
    if (!successful) {
      if (!text.value) client_key.value = elt.sending.key;  // the same words again are the same message
      text.value = elt.sending.text + (text.value ? `\n${text.value}` : "");
      keep(elt);
    }
    elt.sending = null;
  });
  document.addEventListener("htmx:afterSwap", ({ target }) => { if (target.id === "conversation") opened(); });
  document.addEventListener("htmx:pushedIntoHistory", () => mark(document));
  const notByHabit = (e) => { if (e.key === "r") e.preventDefault(); };  // after a take what is typed is text; an `r` is not
  document.addEventListener("baton:taken", () => { write("reply"); $("reply").addEventListener("keydown", notByHabit, { once: true }); setTimeout(() => $("reply")?.removeEventListener("keydown", notByHabit), 1000); });
  document.addEventListener("baton:replied", toEnd);
  for (const [name, lost] of [["Error", true], ["Open", false]]) document.addEventListener(`htmx:sse${name}`, () => { $("offline").hidden = !lost; });

  /* --- keys */
  const write = (mode) => {
    if ($(mode)) document.querySelector(`.modes input[value=${mode}]`).checked = true, $(mode).elements.text.focus();
  };
  const move = (by) => {
    const rows = all(".row"), at = rows.indexOf(document.activeElement.closest(".row") || document.querySelector(".row[aria-current]"));
    (rows[Math.max(0, Math.min(rows.length - 1, at + by))] || document.body).focus();
  };
  const fold = (open, query) => { if ($("pass")) $("pass").open = open, $("pass").querySelector(query).focus(); };
  const press = (id) => $(id)?.querySelector("button").click(), list = (n) => all("[name=show]")[n].click();
  const keys = {
    j: () => move(1), k: () => move(-1), t: () => press("do-take"), g: () => press("do-give_back"), q: () => press("do-requeue"), p: () => fold(true, "select"),
    r: () => write("reply"), n: () => write("note"), "/": () => $("find").focus(), "?": () => $("help").showModal(),
    1: () => list(0), 2: () => list(1), 3: () => list(2), 4: () => list(3), ArrowDown: () => move(1), ArrowUp: () => move(-1),
  };
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    const typing = target.matches("textarea, select, input:not([type=radio])");
    if (key === "Enter" && !event.shiftKey && !event.isComposing && target.matches(".write textarea")) {
      event.preventDefault();
      if (target.value.trim()) target.form.querySelector("button").disabled ? toast($("hint").textContent) : target.form.requestSubmit();
    } else if (key === "Escape" && typing) target.closest("#pass") ? fold(false, "summary") : target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $("help").open || !keys[key]) return;
    if (key.startsWith("Arrow") && !target.matches("body, .row")) return;
    event.preventDefault();
    keys[key]();
  });
  $("help-button").addEventListener("click", () => $("help").showModal());
  document.addEventListener("click", ({ target }) => { if (target.id === "back") target.search = `show=${document.querySelector("[name=show]:checked").value}`; });
  paintSound(); look(); if ($("live")) opened();
})();
