"use strict";
// Charts of a fleet's hours. Series come as runs (how often, what); a chart shows the hours from `first` to `last`.
(() => {
  const DAY = 86400, HOUR = 3600;
  const PAD = { left: 64, right: 14, top: 14, bottom: 26 };
  const KEYS = "arrows walk through it, + and - zoom, Escape shows all";
  const all = JSON.parse(document.getElementById("data").textContent);

  const unpack = (runs, hours) => {
    const values = new Float64Array(hours);
    let at = 0;
    for (let i = 0; i < runs.length; i += 2) {
      values.fill(runs[i + 1], at, at + runs[i]);
      at += runs[i];
    }
    return values;
  };

  // A colour of the page's, light or dark as the page is now.
  const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

  const number = (value) => value.toLocaleString("en-US");

  const niceStep = (span, steps) => {
    const rough = span / steps;
    const power = 10 ** Math.floor(Math.log10(rough));
    const nice = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    return Math.max(nice, 1);
  };

  const date = (seconds, withTime) => {
    const iso = new Date(seconds * 1000).toISOString();
    return withTime ? `${iso.slice(0, 10)} ${iso.slice(11, 16)}` : iso.slice(0, 10);
  };

  const weekday = (seconds) => ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][new Date(seconds * 1000).getUTCDay()];

  class Chart {
    constructor(place, run, spec) {
      this.place = place;
      this.run = run;
      this.stacked = spec.stacked;
      this.marks = place.dataset.chart === "counts" ? run.marks : [];
      this.series = spec.series.map((entry) => ({ ...entry, values: unpack(entry.runs, run.hours), on: true }));
      this.first = 0;
      this.last = run.hours;
      this.drag = null;
      this.at = null;
      this.legend = place.appendChild(document.createElement("div"));
      this.legend.className = "legend";
      this.canvas = place.appendChild(document.createElement("canvas"));
      this.canvas.tabIndex = 0;
      this.canvas.setAttribute("role", "img");
      this.canvas.setAttribute("aria-label", `${place.dataset.title}, hour by hour; ${KEYS}`);
      this.tip = place.appendChild(document.createElement("div"));
      this.tip.className = "tip";
      this.tip.setAttribute("aria-live", "polite");
      this.tip.hidden = true;
      this.makeLegend();
      this.listen();
      this.resize();
    }

    makeLegend() {
      for (const series of this.series) {
        const button = this.legend.appendChild(document.createElement("button"));
        const box = button.appendChild(document.createElement("i"));
        box.style.background = series.colour;
        button.appendChild(document.createTextNode(series.name));
        button.setAttribute("aria-pressed", "true");
        button.addEventListener("click", () => {
          series.on = !series.on;
          button.classList.toggle("off", !series.on);
          button.setAttribute("aria-pressed", String(series.on));
          this.draw();
        });
      }
      this.whole = this.legend.appendChild(document.createElement("button"));
      this.whole.className = "whole";
      this.whole.textContent = "show the whole time";
      this.whole.hidden = true;
      this.whole.addEventListener("click", () => this.zoom(0, this.run.hours));
    }

    // Show the hours from `first` to before `last`, two at least.
    zoom(first, last) {
      this.first = Math.max(0, Math.floor(first));
      this.last = Math.min(this.run.hours, Math.max(this.first + 2, Math.ceil(last)));
      this.whole.hidden = this.last - this.first >= this.run.hours;
      this.draw();
    }

    // The keyboard's hand: arrows walk from hour to hour, with Shift from day to day; + and - look closer and less close.
    key(event) {
      const hours = this.last - this.first;
      const at = this.at ?? Math.floor((this.first + this.last) / 2);
      const to = {
        ArrowLeft: at - (event.shiftKey ? 24 : 1), ArrowRight: at + (event.shiftKey ? 24 : 1),
        Home: this.first, End: this.last - 1,
      }[event.key];
      const span = { "+": hours / 2, "=": hours / 2, "-": hours * 2 }[event.key];
      if (to !== undefined) {
        this.at = Math.min(this.run.hours - 1, Math.max(0, to));
        if (this.at < this.first) this.zoom(this.at, this.at + hours);
        else if (this.at >= this.last) this.zoom(this.at + 1 - hours, this.at + 1);
      } else if (span !== undefined) {
        const first = Math.max(0, Math.min(at - span / 2, this.run.hours - span));
        this.at = at;
        this.zoom(first, first + span);
      } else if (event.key === "Escape") {
        this.at = null;
        this.zoom(0, this.run.hours);
      } else {
        return;
      }
      event.preventDefault();
      this.draw();
    }

    listen() {
      const canvas = this.canvas;
      new ResizeObserver(() => this.resize()).observe(canvas);
      canvas.addEventListener("keydown", (event) => this.key(event));
      canvas.addEventListener("blur", () => this.leave());
      canvas.addEventListener("pointerdown", (event) => {
        this.drag = { from: event.offsetX, to: event.offsetX };
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (this.drag) this.drag.to = event.offsetX;
        this.at = this.hourAt(event.offsetX);
        this.draw();
      });
      canvas.addEventListener("pointerup", () => {
        const drag = this.drag;
        this.drag = null;
        if (drag && Math.abs(drag.to - drag.from) > 6) {
          const ends = [drag.from, drag.to].map((x) => this.hourAt(x)).sort((a, b) => a - b);
          if (ends[1] - ends[0] >= 2) this.zoom(ends[0], ends[1] + 1);
        }
        this.draw();
      });
      canvas.addEventListener("pointercancel", () => {
        // A finger that scrolls the page drags across nothing.
        this.drag = null;
        this.leave();
      });
      canvas.addEventListener("pointerleave", () => this.leave());
      canvas.addEventListener("dblclick", () => this.zoom(0, this.run.hours));
    }

    leave() {
      this.at = null;
      this.draw();
    }

    resize() {
      const ratio = window.devicePixelRatio || 1;
      this.width = this.canvas.clientWidth;
      this.height = this.canvas.clientHeight;
      this.canvas.width = Math.round(this.width * ratio);
      this.canvas.height = Math.round(this.height * ratio);
      this.pen = this.canvas.getContext("2d");
      this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.draw();
    }

    get innerWidth() { return this.width - PAD.left - PAD.right; }
    get innerHeight() { return this.height - PAD.top - PAD.bottom; }
    x(hour) { return PAD.left + ((hour - this.first) / (this.last - this.first)) * this.innerWidth; }
    y(value) { return PAD.top + this.innerHeight * (1 - value / this.top); }
    hourAt(x) {
      const hour = Math.floor(this.first + ((x - PAD.left) / this.innerWidth) * (this.last - this.first));
      return Math.min(this.last - 1, Math.max(this.first, hour));
    }

    // One value for each column of pixels: the highest of its hours, so that no peak falls between two pixels.
    columns(values) {
      const count = Math.min(Math.ceil(this.innerWidth), this.last - this.first);
      const columns = new Float64Array(count);
      for (let i = 0; i < count; i++) {
        const from = this.first + Math.floor((i * (this.last - this.first)) / count);
        const to = this.first + Math.floor(((i + 1) * (this.last - this.first)) / count);
        let value = values[from];
        if (!this.stacked) for (let hour = from + 1; hour < to; hour++) value = Math.max(value, values[hour]);
        columns[i] = value;
      }
      return columns;
    }

    draw() {
      const shown = this.series.filter((series) => series.on);
      const columns = shown.map((series) => this.columns(series.values));
      const count = columns.length ? columns[0].length : 0;
      let highest = 1;
      for (let i = 0; i < count; i++) {
        let sum = 0;
        for (const column of columns) sum = this.stacked ? sum + column[i] : Math.max(sum, column[i]);
        highest = Math.max(highest, sum);
      }
      for (const mark of this.marks) highest = Math.max(highest, mark);
      const step = niceStep(highest, 5);
      this.top = Math.ceil(highest / step) * step;
      this.pen.clearRect(0, 0, this.width, this.height);
      this.drawAway();
      this.drawGrid(step);
      this.pen.save();
      this.pen.beginPath();
      this.pen.rect(PAD.left, PAD.top - 2, this.innerWidth, this.innerHeight + 4);
      this.pen.clip();
      if (this.stacked) this.drawAreas(shown, columns, count);
      else shown.forEach((series, index) => this.drawLine(series.colour, columns[index]));
      this.pen.restore();
      this.drawAwayEnds();
      this.drawMarks();
      this.tip.hidden = this.at === null || this.at < this.first || this.at >= this.last;
      if (!this.tip.hidden) this.point(this.at);
      if (this.drag) {
        this.pen.fillStyle = "#3b6fc444";
        this.pen.fillRect(Math.min(this.drag.from, this.drag.to), PAD.top, Math.abs(this.drag.to - this.drag.from), this.innerHeight);
      }
      this.place.dataset.drawn = String(count);
    }

    // When something was away, as far as it is in sight: what, and its two ends in the picture.
    *away() {
      for (const span of this.run.away) {
        const from = Math.max(this.x((span.from - this.run.begins) / HOUR), PAD.left);
        const to = Math.min(this.x((span.to - this.run.begins) / HOUR), PAD.left + this.innerWidth);
        if (to > from) yield [span, from, to];
      }
    }

    // Its ends again, over areas that cover the rest.
    drawAwayEnds() {
      const pen = this.pen;
      pen.save();
      pen.setLineDash([3, 3]);
      pen.strokeStyle = paint("away");
      for (const [, from, to] of this.away()) {
        for (const x of [from, to]) {
          pen.beginPath();
          pen.moveTo(x, PAD.top);
          pen.lineTo(x, PAD.top + this.innerHeight);
          pen.stroke();
        }
      }
      pen.restore();
    }

    drawAway() {
      const pen = this.pen;
      pen.font = "11px system-ui, sans-serif";
      let labelled = -1;
      for (const [span, from, to] of this.away()) {
        pen.fillStyle = paint("away-ground");
        pen.fillRect(from, PAD.top, Math.max(1, to - from), this.innerHeight);
        if (from > labelled) {
          const label = `${span.what} away`;
          pen.fillStyle = paint("away");
          pen.textAlign = "left";
          pen.textBaseline = "top";
          pen.fillText(label, from + 3, 1);
          labelled = from + pen.measureText(label).width + 8;
        }
      }
    }

    drawGrid(step) {
      const pen = this.pen;
      pen.strokeStyle = paint("grid");
      pen.fillStyle = paint("soft");
      pen.lineWidth = 1;
      pen.font = "12px system-ui, sans-serif";
      pen.textAlign = "right";
      pen.textBaseline = "middle";
      for (let value = 0; value <= this.top; value += step) {
        const y = Math.round(this.y(value)) + 0.5;
        pen.beginPath();
        pen.moveTo(PAD.left, y);
        pen.lineTo(PAD.left + this.innerWidth, y);
        pen.stroke();
        pen.fillText(number(value), PAD.left - 8, y);
      }
      const days = (this.last - this.first) / 24;
      const every = [1, 2, 7, 14, 28, 56, 112, 364].find((length) => days / length <= this.innerWidth / 96) || 364;
      const fine = days < 1.5 ? 3 : days < 4 ? 6 : 0;
      pen.textBaseline = "top";
      const stride = fine || every * 24;
      for (let hour = Math.ceil(this.first / stride) * stride; hour < this.last; hour += stride) {
        const x = this.x(hour);
        const moment = this.run.begins + hour * HOUR;
        pen.beginPath();
        pen.moveTo(x, PAD.top + this.innerHeight);
        pen.lineTo(x, PAD.top + this.innerHeight + 4);
        pen.stroke();
        const label = fine ? date(moment, true).slice(5) : date(moment, false);
        const half = pen.measureText(label).width / 2;
        if (x + half > this.width) continue;
        pen.textAlign = "center";
        pen.fillText(label, Math.max(x, half + 2), PAD.top + this.innerHeight + 7);
      }
    }

    drawAreas(shown, columns, count) {
      const pen = this.pen;
      const width = this.innerWidth / count;
      const base = new Float64Array(count);
      shown.forEach((series, index) => {
        pen.beginPath();
        for (let i = 0; i < count; i++) {
          const y = this.y(base[i] + columns[index][i]);
          pen.lineTo(PAD.left + i * width, y);
          pen.lineTo(PAD.left + (i + 1) * width, y);
        }
        for (let i = count - 1; i >= 0; i--) {
          const y = this.y(base[i]);
          pen.lineTo(PAD.left + (i + 1) * width, y);
          pen.lineTo(PAD.left + i * width, y);
          base[i] += columns[index][i];
        }
        pen.closePath();
        pen.fillStyle = series.colour + "d0";
        pen.fill();
      });
    }

    drawLine(colour, column) {
      const pen = this.pen;
      const width = this.innerWidth / column.length;
      pen.beginPath();
      column.forEach((value, i) => {
        // Where there is nothing, nothing is drawn: a line along the ground would hide the others'.
        const nothing = !value && !column[i - 1] && !column[i + 1];
        pen[nothing || !i ? "moveTo" : "lineTo"](PAD.left + i * width, this.y(value));
        if (nothing) return;
        pen.lineTo(PAD.left + (i + 1) * width, this.y(value));
      });
      pen.strokeStyle = colour;
      pen.lineWidth = 1.4;
      pen.stroke();
    }

    drawMarks() {
      const pen = this.pen;
      for (const mark of this.marks) {
        const y = Math.round(this.y(mark)) + 0.5;
        pen.save();
        pen.setLineDash([5, 4]);
        pen.strokeStyle = paint("soft");
        pen.beginPath();
        pen.moveTo(PAD.left, y);
        pen.lineTo(PAD.left + this.innerWidth, y);
        pen.stroke();
        pen.restore();
        pen.textAlign = "right";
        pen.textBaseline = "bottom";
        pen.fillStyle = paint("soft");
        pen.fillText(`threshold ${mark}`, PAD.left + this.innerWidth - 2, y - 1);
      }
    }

    point(hour) {
      const moment = this.run.begins + hour * HOUR;
      const x = this.x(hour + 0.5);
      this.pen.strokeStyle = paint("ink");
      this.pen.beginPath();
      this.pen.moveTo(x, PAD.top);
      this.pen.lineTo(x, PAD.top + this.innerHeight);
      this.pen.stroke();
      this.tip.textContent = "";
      const head = this.tip.appendChild(document.createElement("b"));
      head.textContent = `${weekday(moment)} ${date(moment, true)}, day ${Math.floor((hour * HOUR) / DAY)}`;
      for (const series of this.series.filter((entry) => entry.on)) {
        const line = this.tip.appendChild(document.createElement("div"));
        line.appendChild(document.createElement("i")).style.background = series.colour;
        line.appendChild(document.createTextNode(`${series.name}: ${number(series.values[hour])}`));
      }
      const left = x + this.canvas.offsetLeft + 16;
      const room = this.place.clientWidth - this.tip.offsetWidth - 8;
      this.tip.style.left = `${Math.max(4, left > room ? left - this.tip.offsetWidth - 32 : left)}px`;
      this.tip.style.top = `${this.canvas.offsetTop + 18}px`;
    }
  }

  const charts = [...document.querySelectorAll(".chart")].map((place) => {
    const run = all[place.dataset.run];
    return new Chart(place, run, run.charts[place.dataset.chart]);
  });
  const drawAll = () => charts.forEach((chart) => chart.draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  // Paper is white, whatever the screen is.
  for (const [event, paper] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(event, () => {
      document.documentElement.classList.toggle("paper", paper);
      drawAll();
    });
  }
})();
