// Ablate and patch: change heads and networks by a click, see what follows, and sweep patches over the model.

import { bytes, choice, copyText, fillChoice, h, percent, shown, tokenElement } from "./dom.js";
import { getArray, post } from "./api.js";
import { css, diverging, inkOn, palette } from "./color.js";
import { Grid, MONO } from "./canvas.js";
import { ranked, softmax } from "./sampling.js";

const MODES = [["zero", "zero"], ["mean", "mean"], ["patch", "patch"], ["scale", "× 2"]];
const SCOPES = [["all", "every position"], ["one", "this position"]];
const SWEEPS = ["resid_pre", "attn_out", "mlp_out", "z", "q", "k", "v"];
const MARKS = { zero: "0", mean: "μ", patch: "⇠", scale: "×2" };
const ROWS = 12;

export const edits = {
  id: "edits",
  title: "Ablate and patch",

  mount(root, app) {
    Object.assign(this, { app, root, swept: null });
    this.modes = choice("What a click does", MODES, app.state.mode, (mode) => app.set({ mode }));
    this.scopes = choice("Where", SCOPES, app.state.scope, (scope) => app.set({ scope }));
    this.grid = new Grid({ label: "Heads, and MLPs in the last column; Enter changes one", describe: (r, c) => this.describe(r, c),
      pick: (r, c) => this.toggle(r, c), draw: (context, place) => this.draw(context, place) });
    this.other = h("input", { type: "text", class: "wide", "aria-label": "Other text, where patches come from", placeholder: "another text of as many tokens, where patches come from",
      onchange: () => app.set({ other: this.other.value }) });
    this.chips = h("div", { class: "chips" });
    this.compare = h("table", { class: "rows" });
    this.compared = h("p", { class: "note" });
    this.problem = h("p", { class: "wrong" });
    this.copies = [["Copy as Python", "python"], ["Copy as JSON", "json"]].map(([text, key]) => h("button", { type: "button", onclick: () => this.copy(key, text.slice(8)) }, text));
    const clear = h("button", { type: "button", onclick: () => app.set({ edits: [] }) }, "Clear");
    this.sweepSite = h("select", { "aria-label": "Site to sweep", onchange: () => app.set({ sweep: this.sweepSite.value }) }, ...SWEEPS.map((site) => h("option", { value: site }, site)));
    this.sweepButton = h("button", { type: "button", class: "primary", onclick: () => this.sweep() }, "Sweep");
    this.heat = new Grid({ label: "Sweep, layers down", describe: (r, c) => this.describeSweep(r, c), pick: (r, c) => this.fromSweep(r, c), draw: (context, place) => this.drawSweep(context, place) });
    this.sweepNote = h("p", { class: "note" });
    this.origin = h("p", { class: "origin" });
    root.append(h("div", { class: "controls" }, h("span", {}, "a click sets ", this.modes), this.scopes, ...this.copies, clear),
      h("div", { class: "pair" },
        this.left = h("div", {}, this.grid.canvas, this.chips, this.problem,
          h("label", { class: "stack" }, h("span", { class: "note" }, "other text"), this.other),
          h("div", { class: "head sweep-head" }, h("h2", {}, "Sweep"), this.sweepSite, this.sweepButton), this.sweepNote),
        h("div", {}, this.compared, this.compare, this.origin)),
      this.below = h("div", { class: "across" }));
    this.clear = clear;
  },

  async update(changed) {
    const { app } = this;
    fillChoice(this.modes, MODES, app.state.mode, (mode) => app.set({ mode }));
    fillChoice(this.scopes, SCOPES, app.state.scope, (scope) => app.set({ scope }));
    if (document.activeElement !== this.other) this.other.value = app.state.other;
    this.sweepSite.value = app.state.sweep;
    for (const button of [...this.copies, this.clear]) button.hidden = !app.state.edits.length;
    this.problem.textContent = app.state.edits.length ? app.editError ?? "" : "";
    this.fillChips();
    this.layout();
    if (changed.has("run") && this.swept && this.swept.run !== app.run.run) this.swept = null;
    this.layoutSweep();
    if (!["run", "edited", "position", "theme", "tab"].some((key) => changed.has(key))) return;
    try {
      await this.fillCompare();
    } catch (error) {
      app.fail(error, this.compared);
    }
  },

  /** Put the interventions on the clipboard, in one of their forms. */
  async copy(form, what) {
    try {
      copyText((await post("interventions", this.app.changes()))[form], what);
    } catch (error) {
      this.app.fail(error);
    }
  },

  layout() {
    const { n_layer: layers, n_head: heads } = this.app.facts.config;
    const width = Math.min(this.grid.canvas.parentElement.clientWidth, 560);
    const side = Math.max(20, Math.min(44, Math.floor((width - 30) / (heads + 1.5))));
    const tall = Math.min(side, 34);
    this.grid.show(30 + side * (heads + 1), 20 + tall * layers, { x: 30, y: 20, cell: [side, tall], rows: layers, columns: heads + 1 });
  },

  part(row, column) {
    const head = column < this.app.facts.config.n_head;
    return head ? { part: "head", layer: row, head: column } : { part: "mlp", layer: row };
  },

  found(row, column) {
    const wanted = this.part(row, column);
    return this.app.state.edits.find((each) => each.part === wanted.part && each.layer === wanted.layer && (wanted.part === "mlp" || each.head === wanted.head));
  },

  draw(context, { x, y, cell, rows, columns }) {
    const colors = palette();
    context.font = MONO;
    context.textAlign = "center";
    context.fillStyle = colors.faint;
    for (let c = 0; c < columns; c++) context.fillText(c === columns - 1 ? "MLP" : String(c), x + (c + 0.5) * cell[0], 13);
    for (let r = 0; r < rows; r++) {
      context.fillStyle = colors.faint;
      context.textAlign = "right";
      context.fillText(String(r), x - 7, y + (r + 0.5) * cell[1] + 4);
      for (let c = 0; c < columns; c++) {
        const change = this.found(r, c);
        context.fillStyle = change ? colors.accent : colors.soft;
        context.beginPath();
        context.roundRect(x + c * cell[0] + 1.5, y + r * cell[1] + 1.5, cell[0] - 3, cell[1] - 3, 4);
        context.fill();
        if (!change) continue;
        context.fillStyle = colors.card;
        context.textAlign = "center";
        context.fillText(MARKS[change.mode] + (change.position === null ? "" : `@${change.position}`), x + (c + 0.5) * cell[0], y + (r + 0.5) * cell[1] + 4);
      }
    }
  },

  describe(row, column) {
    const change = this.found(row, column);
    const { part } = this.part(row, column);
    return `layer ${row}, ${part === "head" ? `head ${column}` : "MLP"}${change ? `: ${change.mode}, ${change.position === null ? "every position" : `position ${change.position}`}` : ""}`;
  },

  toggle(row, column) {
    const { app } = this;
    const { mode, scope, edits: now } = app.state;
    const change = this.found(row, column);
    const wanted = { mode, ...this.part(row, column), position: scope === "one" ? app.position : null, ...(mode === "scale" ? { factor: 2 } : {}) };
    const rest = now.filter((each) => each !== change);
    const same = change && change.mode === mode && change.position === wanted.position;
    app.set({ edits: same ? rest : [...rest, wanted], subject: same && !rest.length ? "baseline" : app.state.subject });
  },

  fillChips() {
    const { app } = this;
    this.chips.replaceChildren(...app.state.edits.map((each) => {
      const name = `${each.mode} ${each.part === "head" ? `${each.layer}.${each.head}` : `${each.part} ${each.layer}`}${each.position === null ? "" : ` at ${each.position}`}`;
      return h("span", { class: "chip" }, name, h("button", { type: "button", "aria-label": `remove ${name}`, onclick: () => app.set({ edits: app.state.edits.filter((other) => other !== each) }) }, "×"));
    }));
  },

  /** Both distributions after the position, side by side. */
  async fillCompare() {
    const { app } = this;
    const position = app.position;
    const runs = [app.run, app.edited ?? app.run];
    const [base, edited] = await Promise.all(runs.map((run) => getArray("logits", { run: run.run, position })));
    if (position !== app.position || runs[0] !== app.run) return;
    const [p, q] = [softmax(base.data), softmax(edited.data)];
    const ids = [...new Set([...ranked(base.data).slice(0, ROWS), ...ranked(edited.data).slice(0, ROWS)])].sort((a, b) => Math.max(p[b], q[b]) - Math.max(p[a], q[a])).slice(0, ROWS + 4);
    let divergence = 0;
    for (let i = 0; i < p.length; i++) if (p[i] > 0) divergence += p[i] * (Math.log(p[i]) - Math.log(Math.max(q[i], 1e-300)));
    this.compared.replaceChildren("after ", tokenElement(app.run.tokens[position]), ` at ${position}: `,
      app.edited ? `KL divergence ${shown(divergence, 4)} nats, answered in ${Math.round(app.timings.edit)} ms` : "nothing is changed yet");
    this.compare.replaceChildren(h("thead", {}, h("tr", {}, h("th", {}, "token"), h("th", {}, "model as it is"), h("th", {}, "edited"), h("th", {}, "difference"))),
      h("tbody", {}, ...ids.map((id) => this.compareRow(id, p[id], q[id]))));
    this.origin.textContent = `hook_logits[${position}] of both runs  [${base.shape}]; ${bytes(base.data.byteLength)} each`;
  },

  compareRow(id, p, q) {
    const { app } = this;
    const meter = (value, minus) => {
      const fill = h("span", { class: minus ? "minus" : "" });
      fill.style.width = `${100 * value}%`;
      return h("div", { class: "meter" }, fill);
    };
    const cell = (value, minus) => h("td", { class: "bar-cell" }, h("span", { class: "measured" }, meter(value, minus), h("span", {}, percent(value))));
    return h("tr", {}, h("td", {}, tokenElement(app.token(id))), cell(p, false), app.edited ? cell(q, true) : h("td", {}, "–"), h("td", {}, app.edited ? `${q >= p ? "+" : "−"}${(100 * Math.abs(q - p)).toFixed(2)}` : ""));
  },

  async sweep() {
    const { app } = this;
    const over = ["z", "q", "k", "v"].includes(app.state.sweep) ? "head" : "position";
    this.sweepButton.disabled = true;
    this.sweepNote.textContent = "running every variant…";
    const started = performance.now();
    try {
      const logits = await getArray("logits", { run: app.run.run, position: app.count - 1 });
      const order = ranked(logits.data);
      const [token, against] = [app.tokenId(app.state.a || "") ?? order[0], app.tokenId(app.state.b || "") ?? order[1]];
      this.swept = await post("sweep", { run: app.run.run, other: app.state.other, site: app.state.sweep, over, token, against }, "sweep");
      Object.assign(this.swept, { run: app.run.run, token, against, milliseconds: performance.now() - started });
    } catch (error) {
      this.swept = null;
      this.sweepNote.replaceChildren(h("span", { class: "wrong" }, error.message));
    } finally {
      this.sweepButton.disabled = false;
    }
    this.layoutSweep();
  },

  layoutSweep() {
    const { app, swept } = this;
    this.heat.canvas.hidden = !swept;
    if (!swept) { if (!this.sweepNote.querySelector(".wrong")) this.sweepNote.textContent = "puts one activation after the other of this text into the other text"; return; }
    const columns = swept.values[0].length;
    const home = swept.over === "head" ? this.left : this.below; // positions take the whole width
    home.append(this.heat.canvas);
    const side = Math.max(6, Math.min(64, Math.floor((home.clientWidth - 38) / columns)));
    this.heat.show(34 + side * columns, 24 + 22 * swept.values.length, { x: 34, y: 20, cell: [side, 22], rows: swept.values.length, columns });
    this.sweepNote.replaceChildren("logit of ", tokenElement(app.token(swept.token)), " less ", tokenElement(app.token(swept.against)),
      `: ${shown(swept.clean)} here, ${shown(swept.corrupted)} in the other text; 1 restores it wholly. blocks.*.${{ z: "attn.", q: "attn.", k: "attn.", v: "attn." }[swept.site] ?? ""}hook_${swept.site}, ${swept.values.length * columns} runs, ${(swept.milliseconds / 1000).toFixed(1)} s`);
  },

  drawSweep(context, { x, y, cell, rows, columns }) {
    const { app, swept } = this;
    const colors = palette();
    context.font = MONO;
    const wide = cell[0] >= 34;
    for (let c = 0; c < columns; c++) {
      context.fillStyle = colors.faint;
      context.textAlign = "center";
      if (wide || c % Math.ceil(30 / cell[0]) === 0) context.fillText(swept.over === "head" || !wide ? String(c) : app.label(app.run.ids[c]).slice(0, Math.floor(cell[0] / 6.8)), x + (c + 0.5) * cell[0], 13);
    }
    for (let r = 0; r < rows; r++) {
      context.textAlign = "right";
      context.fillStyle = colors.faint;
      context.fillText(String(r), x - 7, y + (r + 0.5) * cell[1] + 4);
      for (let c = 0; c < columns; c++) {
        const value = swept.normalised[r][c];
        if (value === null) continue;
        const rgb = diverging(0.85 * Math.max(-1, Math.min(1, value)));
        context.fillStyle = css(rgb);
        context.fillRect(x + c * cell[0] + 0.5, y + r * cell[1] + 0.5, cell[0] - 1, cell[1] - 1);
        if (cell[0] < 40) continue;
        context.fillStyle = inkOn(rgb);
        context.textAlign = "center";
        context.fillText(shown(Math.abs(value) < 0.005 ? 0 : value, 2), x + (c + 0.5) * cell[0], y + (r + 0.5) * cell[1] + 4);
      }
    }
  },

  describeSweep(row, column) {
    const { swept, app } = this;
    const where = swept.over === "head" ? `head ${column}` : `position ${column} ${app.label(app.run.ids[column])}`;
    return `layer ${row}, ${where}\nlogit difference ${shown(swept.values[row][column], 4)}, restores ${shown(swept.normalised[row][column], 3)}`;
  },

  fromSweep(row, column) {
    if (this.swept.over === "head") this.app.set({ layer: row, head: column, locked: true, tab: "attention" });
    else this.app.set({ position: column });
  },
};
