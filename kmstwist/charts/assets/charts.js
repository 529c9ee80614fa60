"use strict";
// Draws each <figure class="chart"> of a page with uPlot.
//
// The numbers stand in the figure's own table (a <time> in each row's first cell, or data-begins and data-step seconds
// where rows follow each other so; a number in each other cell), or under
// the key `data-run` of the page's <script id="data">, where a series is a list of runs: how often, what. Attributes:
// data-kind is lines, stacked or bars; data-log says that the scale is one; data-zone "UTC" says that times are so;
// data-nothing is what to say where there is nothing but zeros.
(() => {
  const HOUR = 3600;
  const charts = new Map();
  const style = () => getComputedStyle(document.documentElement);
  const ink = (name) => (name.startsWith("#") ? name : style().getPropertyValue(`--${name}`).trim());
  const shown = (value, unit = "") => (value == null ? "–" : `${value.toLocaleString("en-US")}${unit}`);

  const unpack = (runs, hours) => {
    const values = new Array(hours);
    let at = 0;
    for (let i = 0; i < runs.length; i += 2) {
      values.fill(runs[i + 1], at, at + runs[i]);
      at += runs[i];
    }
    return values;
  };

  // The times and the series of a figure.
  const read = (figure) => {
    if (figure.dataset.run) {
      const run = JSON.parse(document.getElementById("data").textContent)[figure.dataset.run];
      const series = run.charts[figure.dataset.chart].series.map((one) => ({ ...one, values: unpack(one.runs, run.hours) }));
      const times = Array.from({ length: run.hours }, (_, hour) => run.begins + hour * HOUR);
      return { times, series, away: run.away, marks: figure.dataset.chart === "counts" ? run.marks : [] };
    }
    // Not the legend, which is a table, too.
    const table = figure.querySelector("details table");
    const rows = [...table.tBodies[0].rows];
    const { begins, step } = table.dataset;
    const times = begins
      ? rows.map((_, at) => Date.parse(begins) / 1000 + at * Number(step))
      : rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000);
    const columns = [...table.tHead.rows[0].cells].slice(1).filter((cell) => cell.dataset.colour);
    const series = columns.map((cell, at) => ({
      name: cell.textContent.trim(),
      colour: cell.dataset.colour,
      // The text is the value where no other is given.
      values: rows.map(({ cells: { [at + 1]: cell } }) => cell.dataset.value ?? cell.textContent)
        .map((text) => (text.trim() === "" ? null : Number(text))),
    }));
    return { times, series, away: [], marks: [] };
  };

  // Stacked: each series stands on those before it that are shown, so the last one is drawn first, behind all others.
  const stack = (series, on) => {
    const sums = new Array(series[0]?.values.length ?? 0).fill(0);
    return series.map((one, at) => one.values.map((value, i) => (on[at] ? (sums[i] += value ?? 0) : null)));
  };

  const paint = (figure, plot, made, kept) => {
    const { times, series, away, marks } = made;
    const stacked = figure.dataset.kind !== "lines";
    const bars = figure.dataset.kind === "bars";
    const utc = figure.dataset.zone === "UTC";
    const unit = figure.dataset.unit ?? "";
    const on = series.map((_, at) => kept?.on[at] ?? true);
    const order = stacked ? series.map((_, at) => at).reverse() : series.map((_, at) => at);
    const values = () => {
      const drawn = stacked ? stack(series, on) : series.map((one) => one.values);
      return [times, ...order.map((at) => drawn[at])];
    };
    const font = "12px system-ui, sans-serif";
    // Hours as clocks show them and days as calendars order them, whatever the browser's language.
    const words = [
      [3600 * 24 * 365, "{YYYY}", null, null, null, null, null, null, 1],
      [3600 * 24 * 28, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
      [3600 * 24, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
      [3600, "{HH}:{mm}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
      [60, "{HH}:{mm}", "\n{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
      [1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1],
    ];
    const axis = { stroke: ink("soft"), font, grid: { stroke: ink("line"), width: 1 }, ticks: { stroke: ink("line"), width: 1 } };
    const step = times.length > 1 ? times[1] - times[0] : HOUR;
    const options = {
      width: Math.max(plot.clientWidth, 200),
      height: 260,
      tzDate: (seconds) => (utc ? uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : new Date(seconds * 1000)),
      cursor: { points: { show: !stacked }, drag: { x: true, y: false }, y: false },
      scales: {
        x: { time: true },
        y: figure.dataset.log
          ? { distr: 3 }
          : { range: (_, low, high) => [0, Math.max(1, high ?? 1, ...marks) * 1.06] },
      },
      axes: [
        { ...axis, space: 64, values: words },
        {
          ...axis,
          // As wide as its longest number, in the letters of the axis.
          size: (u, ticks) => (ticks ? Math.max(...ticks.map((tick) => tick.length), 3) * 7 + 20 : 40),
          values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : shown(tick, unit))),
          // There is no half an activation.
          ...(unit ? {} : { incrs: [1, 2, 5].flatMap((one) => Array.from({ length: 9 }, (_, power) => one * 10 ** power)).sort((a, b) => a - b) }),
        },
      ],
      series: [
        { label: "time", value: figure.dataset.step === "day" ? "{YYYY}-{MM}-{DD}" : "{WWW} {YYYY}-{MM}-{DD} {HH}:{mm}" },
        ...order.map((at) => ({
          label: series[at].name,
          show: on[at],
          stroke: ink(series[at].colour),
          fill: stacked ? ink(series[at].colour) : undefined,
          width: bars ? 0 : stacked ? 0.5 : 1.75,
          points: { show: !stacked && times.length < 3 },
          paths: bars ? uPlot.paths.bars({ size: [0.75, 40], align: 1 }) : uPlot.paths.stepped({ align: stacked ? 1 : 1 }),
          value: (_, __, ___, index) => (index == null ? "" : shown(series[at].values[index], unit)),
        })),
      ],
      hooks: {
        setSeries: [
          (u, index, { show }) => {
            if (index == null || show === undefined || !stacked) return;
            on[order[index - 1]] = show;
            u.setData(values(), false);
            u.redraw();
          },
        ],
        drawClear: [(u) => drawAway(u, away)],
        draw: [(u) => drawMarks(u, marks, font)],
        setScale: [
          (u, key) => {
            if (key !== "x") return;
            const { min, max } = u.scales.x;
            const whole = min <= times[0] && max >= times.at(-1);
            figure.dataset.drawn = String(times.filter((time) => time >= min && time <= max).length);
            if (figure.whole) figure.whole.hidden = whole;
          },
        ],
      },
    };
    if (bars) options.scales.x.range = (_, low, high) => [low, high === times.at(-1) ? high + step : high];
    // Around one moment alone uPlot would show years.
    if (times.length === 1) options.scales.x.range = () => [times[0] - HOUR / 2, times[0] + HOUR / 2];
    const u = new uPlot(options, values(), plot);
    for (const head of u.root.querySelectorAll(".u-legend .u-series:not(:first-child) th")) {
      head.tabIndex = 0;
      head.setAttribute("role", "button");
      head.addEventListener("keydown", (event) => event.key === "Enter" && head.click());
    }
    return { u, on, step };
  };

  const drawAway = (u, away) => {
    for (const { what, from, to } of away) {
      const [left, right] = [from, to].map((time) => Math.min(Math.max(u.valToPos(time, "x", true), u.bbox.left), u.bbox.left + u.bbox.width));
      if (right <= left) continue;
      u.ctx.fillStyle = ink("away-ground");
      u.ctx.fillRect(left, u.bbox.top, Math.max(1, right - left), u.bbox.height);
      u.ctx.fillStyle = ink("away");
      u.ctx.textAlign = "left";
      u.ctx.fillText(`${what} away`, left + 3, u.bbox.top - 4 * devicePixelRatio, u.bbox.left + u.bbox.width - left);
    }
  };

  const drawMarks = (u, marks, font) => {
    u.ctx.save();
    u.ctx.setLineDash([5, 4]);
    u.ctx.strokeStyle = u.ctx.fillStyle = ink("soft");
    u.ctx.font = font;
    u.ctx.textAlign = "right";
    for (const mark of marks) {
      const y = Math.round(u.valToPos(mark, "y", true));
      u.ctx.beginPath();
      u.ctx.moveTo(u.bbox.left, y);
      u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
      u.ctx.stroke();
      u.ctx.fillText(`threshold ${mark}`, u.bbox.left + u.bbox.width - 2, y - 4);
    }
    u.ctx.restore();
  };

  // Arrows walk through the times (with Shift by 24 steps), + and - zoom, Escape shows all.
  const press = (figure, event) => {
    if (!charts.has(figure)) return;
    const { u, times } = charts.get(figure);
    const { min, max } = u.scales.x;
    const at = u.cursor.idx ?? times.findIndex((time) => time >= (min + max) / 2);
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const to = move ? at + move * (event.shiftKey ? 24 : 1) : { Home: times.findIndex((time) => time >= min), End: times.findLastIndex((time) => time <= max) }[event.key];
    const zoom = { "+": 0.5, "=": 0.5, "-": 2 }[event.key];
    if (to !== undefined) {
      const index = Math.min(times.length - 1, Math.max(0, to));
      const shift = Math.min(0, times[index] - min) + Math.max(0, times[index] - max);
      if (shift) u.setScale("x", { min: min + shift, max: max + shift });
      u.setCursor({ left: u.valToPos(times[index], "x"), top: 10 });
    } else if (zoom) {
      const half = Math.min((max - min) * zoom, times.at(-1) - times[0]) / 2;
      const middle = Math.min(Math.max(times[at], times[0] + half), times.at(-1) - half);
      u.setScale("x", { min: middle - half, max: middle + half });
    } else if (event.key === "Escape") {
      u.setScale("x", { min: times[0], max: times.at(-1) });
    } else {
      return;
    }
    event.preventDefault();
  };

  const draw = (figure) => {
    const made = read(figure);
    const kept = charts.get(figure);
    kept?.u.destroy();
    let plot = figure.querySelector(".plot");
    if (!plot) {
      figure.querySelector(":scope > .noscript")?.remove();
      plot = document.createElement("div");
      plot.className = "plot";
      plot.tabIndex = 0;
      plot.setAttribute("role", "group");
      plot.setAttribute("aria-label", `${figure.dataset.title}: a chart. Arrow keys walk through it, + and - zoom, Escape shows all. Its numbers are in the table below it.`);
      plot.addEventListener("keydown", (event) => event.target === plot && press(figure, event));
      figure.prepend(plot);
      figure.whole = document.createElement("button");
      figure.whole.className = "whole";
      figure.whole.textContent = "Show the whole time";
      figure.whole.hidden = true;
      figure.whole.addEventListener("click", () => {
        const { u, times } = charts.get(figure);
        u.setScale("x", { min: times[0], max: times.at(-1) });
      });
      figure.append(figure.whole);
      new ResizeObserver(() => {
        const { u } = charts.get(figure) ?? {};
        if (u && plot.clientWidth && u.width !== plot.clientWidth) u.setSize({ width: plot.clientWidth, height: 260 });
      }).observe(plot);
    }
    // With words for it, zeros alone are nothing to draw either.
    const none = figure.dataset.nothing;
    figure.classList.toggle("nothing", !made.series.some((one) => one.values.some((value) => (none ? value : value != null))));
    if (figure.classList.contains("nothing")) {
      charts.delete(figure);
      plot.textContent = none ?? "Nothing to draw yet.";
      return;
    }
    plot.textContent = "";
    charts.set(figure, { ...paint(figure, plot, made, kept), times: made.times });
  };

  const drawAll = () => document.querySelectorAll("figure.chart").forEach(draw);
  window.drawCharts = drawAll;
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  // Paper is white, whatever the screen is.
  for (const [event, paper] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(event, () => {
      document.documentElement.classList.toggle("paper", paper);
      drawAll();
    });
  }
})();
