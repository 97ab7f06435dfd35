// Ledger: what each operation of this text took, beside what the machine can do, down to its machine code.

import { bytes, choice, fillChoice, h, shown } from "./dom.js";
import { getJson, post } from "./api.js";
import { palette } from "./color.js";
import { MONO, prepare } from "./canvas.js";

const PARTS = [["decode", "decoding"], ["prefill", "the prompt"]];

export const ledger = {
  id: "ledger",
  title: "Ledger",

  mount(root, app) {
    Object.assign(this, { app, root });
    this.part ??= "decode";
    this.parts = choice("Part", PARTS, this.part, (part) => this.choose(part));
    this.count = h("input", { type: "number", min: 1, max: 256, class: "narrow", "aria-label": "tokens to decode", value: app.state.new_tokens,
      onchange: () => app.set({ new_tokens: Math.max(1, Math.min(256, Number(this.count.value) || 16)) }) });
    this.button = h("button", { type: "button", class: "primary", onclick: () => this.measure() }, "Measure");
    this.summary = h("p", { class: "note" });
    this.table = h("table", { class: "rows" });
    this.layers = h("table", { class: "rows" });
    this.timeline = h("canvas", { role: "img", "aria-label": "Memory and KV cache over time" });
    this.listing = h("pre", { class: "code scroll short", tabindex: 0, hidden: true });
    this.listingTitle = h("h3");
    this.origin = h("p", { class: "origin" });
    root.append(h("div", { class: "controls" }, this.parts, h("label", {}, "decode ", this.count, " tokens"), this.button, this.summary),
      h("div", { class: "across" }, this.table), this.listingTitle, this.listing, h("div", { class: "pair" }, h("div", {}, h("h3", {}, "memory and KV cache"), this.timeline), h("div", { class: "scroll short" }, this.layers)), this.origin);
  },

  choose(part) {
    this.part = part;
    this.show();
  },

  async update(changed) {
    const stale = !this.found || this.measured !== this.app.run.run;
    if (stale && (changed.has("run") || changed.has("tab"))) await this.measure();
    else if (["theme", "size", "tab", "run"].some((key) => changed.has(key))) this.show();
  },

  async measure() {
    const { app } = this;
    this.button.disabled = true;
    this.summary.textContent = "measuring…";
    try {
      const run = app.run.run;
      this.found = await post("ledger", { run, new_tokens: app.state.new_tokens }, "ledger");
      this.measured = run;
      this.show();
    } catch (error) {
      app.fail(error, this.summary);
    } finally {
      this.button.disabled = false;
    }
  },

  show() {
    if (!this.found) return;
    fillChoice(this.parts, PARTS, this.part, (part) => this.choose(part));
    const part = this.found[this.part];
    if (!part.passes) {
      this.summary.textContent = "nothing was run in this part";
      this.table.replaceChildren();
      return;
    }
    const { machine, seconds } = part;
    const total = seconds.launches + seconds.between_launches + seconds.python;
    this.summary.textContent = `${part.tokens} tokens in ${part.passes} passes, ${(1000 * total / part.passes).toFixed(3)} ms each, ${(part.tokens / total).toFixed(0)} tokens/s; ` +
      `this machine reads ${machine.read_gb_s.toFixed(1)} GB/s and computes ${machine.fma_gflop_s.toFixed(0)} GFLOP/s, ${machine.dot_gop_s.toFixed(0)} GOP/s in 8 bits, with ${part.threads} threads`;
    this.fillTable(part, total);
    this.fillLayers(part, total);
    this.drawTimeline();
    this.origin.textContent = `as \`glassformer profile\` measures it, of this text and ${this.found.new_tokens} new tokens, greedy, everything warm; ${part.target}`;
  },

  fillTable(part, total) {
    const told = { bytes: "read and written at least, a pass", "of read": "of what memory gives; above 100 % the data lay in a cache", "of peak": "of the fused multiply-adds that all threads can do", kernel: "where it is written; the operation's name shows its machine code" };
    const heads = ["operation", "launches", "µs/pass", "% of time", "", "bytes", "GB/s", "of read", "GFLOP/s", "of peak", "kernel"];
    const rows = part.operations.map((line) => this.row(line, part, total));
    const gaps = [["between launches", part.seconds.between_launches], ["choosing and Python", part.seconds.python]].map(([name, time]) =>
      h("tr", {}, h("td", {}, name), h("td"), h("td", {}, (1e6 * time / part.passes).toFixed(1)), h("td", {}, (100 * time / total).toFixed(1)), h("td", { colspan: 7 })));
    this.table.replaceChildren(h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col", title: told[text] }, text)))), h("tbody", {}, ...rows, ...gaps));
  },

  row(line, part, total) {
    const share = line.seconds / total;
    const fill = h("span");
    fill.style.width = `${100 * share}%`;
    const rate = (value, of) => [h("td", {}, value ? value.toFixed(1) : ""), h("td", {}, value ? `${(100 * of).toFixed(0)} %` : "")];
    const name = h("button", { type: "button", class: "plain", title: "show its machine code", onclick: () => this.code(line.name) }, line.name);
    return h("tr", { "data-operation": line.name }, h("td", {}, name), h("td", {}, (line.calls / part.passes).toFixed(0)), h("td", {}, (1e6 * line.seconds / part.passes).toFixed(1)),
      h("td", {}, (100 * share).toFixed(1)), h("td", { class: "bar-cell slim" }, h("div", { class: "meter" }, fill)), h("td", {}, line.bytes ? bytes(line.bytes / part.passes) : ""),
      ...rate(line.gb_s, line.share_of_read), ...rate(line.gflop_s, line.share_of_peak), h("td", {}, line.place ?? ""));
  },

  fillLayers(part, total) {
    this.layers.replaceChildren(h("thead", {}, h("tr", {}, h("th", {}, "part of the model"), h("th", {}, "µs/pass"), h("th", {}, "%"), h("th", {}, "GB/s"))),
      h("tbody", {}, ...part.layers.map((line) => h("tr", {}, h("td", {}, line.name), h("td", {}, (1e6 * line.seconds / part.passes).toFixed(1)), h("td", {}, (100 * line.seconds / total).toFixed(1)), h("td", {}, line.gb_s.toFixed(1))))));
  },

  async code(operation) {
    try {
      const found = await getJson("assembly", { operation }, "assembly");
      const constants = Object.entries(found.constants).map(([key, value]) => `${key}=${value}`).join(", ");
      this.listingTitle.textContent = `${operation}: kernel ${found.kernel}${constants ? ` (${constants})` : ""} for ${found.target}`;
      this.listing.textContent = found.assembly;
      this.listing.hidden = false;
    } catch (error) {
      this.app.fail(error, this.listingTitle);
    }
  },

  /** The process's memory as it was sampled, and the cache's blocks as they were written. */
  drawTimeline() {
    const { steps, memory, cache_block_bytes: block, cache_block_tokens: size } = this.found;
    const width = Math.max(280, Math.min(this.timeline.parentElement.clientWidth, 620));
    const [height, left, bottom] = [150, 66, 22];
    const context = prepare(this.timeline, width, height);
    const colors = palette();
    const end = Math.max(...steps.map((step) => step[1]), 1e-6);
    const x = (time) => left + ((width - left - 10) * time) / end;
    let tokens = 0;
    const cache = steps.map(([, time, rows]) => [time, Math.ceil((tokens += rows) / size) * block]);
    const half = (height - bottom) / 2;
    this.series(context, memory.length ? [...memory, [end, memory.at(-1)[1]]] : [], x, 6, half - 12, "memory", colors.faint, left);
    this.series(context, [[0, 0], ...cache], x, half + 6, half - 12, "KV cache", colors.accent, left);
    context.fillStyle = colors.faint;
    context.textAlign = "center";
    for (const share of [0, 0.5, 1]) context.fillText(`${(1000 * end * share).toFixed(1)} ms`, Math.min(width - 30, x(end * share) + 4), height - 5);
    this.timeline.setAttribute("aria-label", `KV cache ${bytes(cache.at(-1)[1])} after ${tokens} tokens; memory ${memory.length ? bytes(memory.at(-1)[1]) : "unknown"}`);
  },

  series(context, points, x, top, height, name, color, left) {
    if (!points.length) return;
    const most = Math.max(...points.map(([, size]) => size), 1);
    const y = (size) => top + height * (1 - size / most);
    context.font = MONO;
    context.fillStyle = palette().faint;
    context.textAlign = "right";
    context.fillText(name, left - 6, top + 8);
    context.fillText(bytes(most), left - 6, top + 22);
    context.strokeStyle = color;
    context.lineWidth = 1.6;
    context.beginPath();
    points.forEach(([time, size], place) => {
      if (place) context.lineTo(x(time), y(points[place - 1][1]));
      context.lineTo(x(time), y(size));
    });
    context.stroke();
    context.lineWidth = 1;
  },
};
