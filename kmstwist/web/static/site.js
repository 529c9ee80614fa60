"use strict";
// Two comforts; everything works without them. Times are shown in the reader's zone, and an open page follows what
// happens: the server says that something changed (server-sent events), and the page fetches itself anew and takes
// over the parts marked data-live that differ.
(() => {
  const PAUSE = 3000;
  const two = (number) => String(number).padStart(2, "0");
  const local = {
    day: (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`,
    moment: (at) => `${local.day(at)} ${two(at.getHours())}:${two(at.getMinutes())}`,
    // As the server says it: 40 s, 4 min, 3 h 20 min, 1 d 4 h, 12 days.
    ago: (at) => {
      const seconds = Math.round(Math.abs(Date.now() - at) / 1000);
      const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
      const text = seconds < 60 ? `${seconds} s` : minutes < 60 ? `${minutes} min`
        : hours < 24 ? `${hours} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`
        : days < 3 && hours % 24 ? `${days} d ${hours % 24} h` : `${days} day${days === 1 ? "" : "s"}`;
      return at <= Date.now() ? `${text} ago` : `in ${text}`;
    },
  };

  const showTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      const say = local[time.dataset.kind ?? time.closest("[data-times]")?.dataset.times];
      if (!say || Number.isNaN(at.getTime())) continue;
      time.textContent = say(at);
      time.title = `${time.dateTime.slice(0, 19).replace("T", " ")} UTC`;
    }
    // Tables whose rows follow each other at equal steps say only when they begin.
    for (const table of root.querySelectorAll("table[data-begins][data-times]")) {
      [...table.tBodies[0].rows].forEach(({ cells: [cell] }, row) => {
        const at = new Date(Date.parse(table.dataset.begins) + row * 1000 * Number(table.dataset.step));
        cell.textContent = local[table.dataset.times](at);
        cell.title = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
      });
    }
    for (const zone of root.querySelectorAll(".zone")) {
      zone.textContent = `Times are in your zone (${Intl.DateTimeFormat().resolvedOptions().timeZone}); hover for UTC.`;
    }
  };

  const focusables = (root) => [...root.querySelectorAll("a[href], button, input, select, summary, [tabindex]")];

  const takeOver = (old, fresh) => {
    const at = focusables(old).indexOf(document.activeElement);
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    old.replaceChildren(...fresh.childNodes);
    old.className = fresh.className;
    [...old.querySelectorAll("details")].forEach((one, index) => { one.open = open[index] ?? one.open; });
    showTimes(old);
    if (at >= 0) focusables(old)[at]?.focus({ preventScroll: true });
  };

  const seen = new Map();
  const parts = (root) => [...root.querySelectorAll("[data-live]")];
  let busy = false, again = false, last = 0;

  const load = async () => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      return answer.ok ? await answer.text() : null;
    } catch {
      // The server is away for a moment; the stream says so, and comes back by itself.
      return null;
    }
  };

  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      await new Promise((done) => setTimeout(done, Math.max(0, last + PAUSE - Date.now())));
      last = Date.now();
      const text = await load();
      if (text === null) return;
      const page = new DOMParser().parseFromString(text, "text/html");
      let changed = false;
      for (const fresh of parts(page)) {
        const old = document.querySelector(`[data-live="${fresh.dataset.live}"]`);
        if (!old || seen.get(fresh.dataset.live) === fresh.innerHTML) continue;
        seen.set(fresh.dataset.live, fresh.innerHTML);
        takeOver(old, fresh);
        changed = true;
      }
      if (page.title) document.title = page.title;
      if (changed) window.drawCharts?.();
      document.documentElement.dataset.refreshed = String(Number(document.documentElement.dataset.refreshed ?? 0) + 1);
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };

  for (const part of parts(document)) seen.set(part.dataset.live, part.innerHTML);
  showTimes(document);
  setInterval(() => showTimes(document), 20000);
  const sign = document.getElementById("live");
  if (!sign || !parts(document).length) return;
  const say = (text, on) => {
    sign.textContent = text;
    sign.toggleAttribute("data-on", on);
    sign.classList.toggle("lost", !on);
    document.documentElement.toggleAttribute("data-lost", !on);
  };
  const events = new EventSource("/events");
  let first = true, lost = null;
  events.addEventListener("open", () => {
    say("Live", true);
    lost = null;
    // What was missed while the stream was away.
    if (!first) refresh();
    first = false;
  });
  events.addEventListener("error", () => {
    lost ??= new Date();
    say(`As of ${local.moment(lost)}: the server does not answer`, false);
  });
  events.addEventListener("change", () => {
    if (!document.hidden) refresh(); else again = true;
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) { again = false; refresh(); } });
  window.addEventListener("pagehide", () => events.close());
})();
