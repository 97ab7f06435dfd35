// Next token: the distribution after the selected position, filtered at once as the sliders move; a click forces a token.

import { h, percent, shown, tokenElement } from "./dom.js";
import { getArray } from "./api.js";
import { pictureButton } from "./picture.js";
import { entropy, filtered, ranked, softmax } from "./sampling.js";

const ROWS = 24;
const SLIDERS = [
  { key: "temperature", name: "temperature", low: 0, high: 2, step: 0.05, text: (value) => value.toFixed(2) },
  { key: "top_k", name: "top-k", low: 0, high: 50, step: 1, text: (value) => (value ? String(value) : "off") },
  { key: "top_p", name: "top-p", low: 0, high: 1, step: 0.01, text: (value) => (value < 1 ? value.toFixed(2) : "off") },
  { key: "min_p", name: "min-p", low: 0, high: 1, step: 0.01, text: (value) => (value ? value.toFixed(2) : "off") },
];

export const next = {
  mount(root, app) {
    this.app = app;
    this.after = h("p", { class: "note" });
    this.list = h("ol", { class: "nexts" });
    this.summary = h("p", { class: "note" });
    this.origin = h("p", { class: "origin" });
    this.sliders = SLIDERS.map((each) => this.slider(each));
    this.back = h("button", { type: "button", hidden: true, onclick: () => this.undo() }, "undo the forced tokens");
    root.replaceChildren(h("div", { class: "head" }, h("h2", {}, "Next token"), pictureButton(root, "Next token")), this.after,
      h("div", { class: "sliders" }, ...this.sliders.map((each) => each.row)), this.list, this.summary, this.back, this.origin);
  },

  slider({ key, name, low, high, step, text }) {
    const output = h("output", { for: `slider-${key}` });
    const input = h("input", { type: "range", id: `slider-${key}`, min: low, max: high, step,
      oninput: () => this.app.set({ [key]: Number(input.value) }),
      ondblclick: () => this.app.set({ [key]: { temperature: 1, top_k: 0, top_p: 1, min_p: 0 }[key] }) });
    return { key, input, output, text, row: h("div", { class: "slider" }, h("label", { for: `slider-${key}` }, name), input, output) };
  },

  async update(changed) {
    const { app } = this;
    for (const { key, input, output, text } of this.sliders) {
      input.value = app.state[key];
      output.textContent = text(app.state[key]);
    }
    if (["run", "subject", "position", "edited"].some((key) => changed.has(key))) await this.fetch();
    if (!this.logits) return;
    if (["run", "subject", "position", "edited", "theme", ...SLIDERS.map((each) => each.key)].some((key) => changed.has(key))) this.draw();
  },

  async fetch() {
    const { app } = this;
    const position = app.position;
    const mine = (this.serial = (this.serial ?? 0) + 1);
    try {
      const wanted = [app.run, app.edited].map((run) => (run ? getArray("logits", { run: run.run, position }) : null));
      const [base, edited] = await Promise.all(wanted);
      if (mine !== this.serial) return;
      [this.base, this.edited] = [base, edited];
      this.logits = app.state.subject === "edited" && edited ? edited : base;
    } catch (error) {
      app.fail(error);
    }
  },

  draw() {
    const { app } = this;
    const run = app.shown;
    const position = app.position;
    this.after.replaceChildren("after ", tokenElement(run.tokens[position] ?? ""), ` at position ${position}`);
    const { rows, left } = filtered(this.logits.data, app.state, ROWS);
    const other = this.edited ? softmax((this.logits === this.edited ? this.base : this.edited).data) : null;
    const widest = Math.max(...rows.map((row) => Math.max(row.after, row.before)), 1e-9);
    this.list.replaceChildren(...rows.map((row) => this.row(row, widest, other)));
    const places = ranked(this.logits.data).length;
    this.summary.textContent = `${left.toLocaleString("en")} of ${places.toLocaleString("en")} tokens left to draw from; entropy ${shown(entropy(softmax(this.logits.data)), 2)} bits before the filters`;
    this.origin.textContent = `${this.logits.site}[${position}]  [${this.logits.shape}]`;
    this.back.hidden = !app.state.ids || !app.vocabulary;
  },

  row(row, widest, other) {
    const bar = h("span", { class: "fill" });
    bar.style.width = `${(100 * (row.cut ? row.before : row.after)) / widest}%`;
    const marks = [bar];
    if (other) {
      const mark = h("span", { class: "mark", title: `${percent(other[row.id])} in the other run` });
      mark.style.left = `${Math.min(100, (100 * other[row.id]) / widest)}%`;
      marks.push(mark);
    }
    const label = `${this.app.label(row.id)}, id ${row.id}, ${row.cut ? `cut by ${row.cut}` : percent(row.after)}; force it`;
    return h("li", { class: row.cut ? "cut" : "" }, h("button", { type: "button", "data-id": row.id, "aria-label": label, title: `id ${row.id}, logit ${shown(this.logits.data[row.id])}, ${percent(row.before)} before the filters`,
      onclick: () => this.force(row.id) },
    h("span", { class: "bar-track" }, ...marks), tokenElement(this.app.token(row.id)),
    h("span", { class: "number" }, row.cut ?? percent(row.after))));
  },

  /** Continue the text up to the position with a token. */
  force(id) {
    const { app } = this;
    const ids = [...app.run.ids.slice(0, app.position + 1), id];
    app.set({ ids, position: -1, begin: false });
  },

  undo() {
    this.app.set({ ids: null, position: -1 });
  },
};
