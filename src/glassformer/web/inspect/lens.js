// Logit lens: what each layer would say next, position by position; a pinned token's rank by depth.

import { h, percent, shown, tokenElement, visible } from "./dom.js";
import { getArray } from "./api.js";
import { css, inkOn, palette, sequence } from "./color.js";
import { Grid, MONO, prepare } from "./canvas.js";

const TOP = 10;
const CELL = [56, 26];
const LEFT = 44;
const HEAD = 34;

export const lens = {
  id: "lens",
  title: "Logit lens",

  mount(root, app) {
    Object.assign(this, { app, root, found: null, cell: null });
    this.grid = new Grid({ label: "Logit lens, depth down and positions across", describe: (r, c) => this.describe(r, c),
      hover: (cell) => { if (cell) this.detail(...cell); }, pick: (r, c) => app.set({ position: this.begin + c, pin: this.ids(this.depth(r), c)[0] }),
      draw: (context, place) => this.draw(context, place) });
    this.where = h("h3");
    this.best = h("ul", { class: "list" });
    this.plot = h("canvas", { role: "img", "aria-label": "Rank by depth" });
    this.plotTitle = h("h3");
    this.window = h("span", { class: "note" });
    this.origin = h("p", { class: "origin" });
    const unpin = h("button", { type: "button", onclick: () => app.set({ pin: -1 }) }, "unpin");
    root.append(h("div", { class: "controls" }, h("span", { class: "note" }, "the most probable token at each depth, last layer on top; a click pins it"), this.window),
      h("div", { class: "split" }, h("div", {}, this.grid.canvas, this.origin),
        h("div", {}, this.where, this.best, h("div", { class: "head plot-head" }, this.plotTitle, unpin), this.plot)));
    this.unpin = unpin;
  },

  async update(changed) {
    if (!["run", "subject", "position", "pin", "size", "theme", "tab"].some((key) => changed.has(key))) return;
    const { app } = this;
    const width = this.grid.canvas.parentElement.clientWidth;
    const columns = Math.max(1, Math.min(app.count, Math.floor((width - LEFT) / CELL[0]), 64));
    const middle = app.position - Math.floor(columns * 0.6);
    const kept = this.found && !changed.has("run") && app.position >= this.begin && app.position < this.end && columns === this.end - this.begin;
    if (!kept) {
      this.begin = Math.max(0, Math.min(middle, app.count - columns));
      this.end = this.begin + columns;
    }
    const mine = (this.serial = (this.serial ?? 0) + 1);
    try {
      const found = await getArray("lens", { run: app.shown.run, begin: this.begin, end: this.end, follow: app.state.pin }, "lens");
      if (mine !== this.serial) return;
      this.found = found;
    } catch (error) {
      app.fail(error, this.origin);
      return;
    }
    const [depths] = this.found.shape;
    const cell = [Math.min(110, Math.max(CELL[0], (width - LEFT) / columns)), CELL[1]];
    this.grid.show(LEFT + cell[0] * columns, HEAD + cell[1] * depths, { x: LEFT, y: HEAD, cell, rows: depths, columns });
    this.window.textContent = columns < app.count ? `positions ${this.begin} to ${this.end - 1} of ${app.count}` : "";
    this.origin.textContent = `ln_final and unembedding of ${this.found.site}, and of blocks.0.hook_resid_pre  [${depths}, ${columns}, ${app.facts.config.n_embd}]`;
    const column = app.position - this.begin;
    this.detail(this.cell ? Math.min(this.cell[0], depths - 1) : 0, this.cell && !changed.has("position") ? Math.min(this.cell[1], columns - 1) : column);
    this.rankPlot(column);
  },

  depth(row) { return this.found.shape[0] - 1 - row; },
  at(depth, column) { return (depth * this.found.shape[1] + column) * this.found.shape[2]; },
  ids(depth, column) { const at = this.at(depth, column); return Array.from(this.found.data.subarray(at, at + TOP)); },
  shares(depth, column) { const at = this.at(depth, column) + TOP; return Array.from(this.found.data.subarray(at, at + TOP)); },
  name(depth) { return depth ? `after layer ${depth - 1}` : "before layer 0"; },

  draw(context, { x, y, cell, rows, columns }) {
    const { app } = this;
    const colors = palette();
    context.font = MONO;
    const fits = Math.floor((cell[0] - 8) / 6.7);
    for (let column = 0; column < columns; column++) {
      const place = this.begin + column;
      context.fillStyle = place === app.position ? colors.accent : colors.faint;
      context.textAlign = "center";
      context.fillText(cut(visible(app.shown.tokens[place]), fits), x + (column + 0.5) * cell[0], 13);
      context.fillText(String(place), x + (column + 0.5) * cell[0], 27);
    }
    for (let row = 0; row < rows; row++) {
      const depth = this.depth(row);
      context.textAlign = "right";
      context.fillStyle = colors.faint;
      context.fillText(depth ? `L${depth - 1}` : "in", x - 7, y + (row + 0.5) * cell[1] + 4);
      for (let column = 0; column < columns; column++) {
        const [id, share] = [this.ids(depth, column)[0], this.shares(depth, column)[0]];
        const rgb = sequence(0.8 * share);
        const [left, top] = [x + column * cell[0], y + row * cell[1]];
        context.fillStyle = css(rgb);
        context.fillRect(left + 0.5, top + 0.5, cell[0] - 1, cell[1] - 1);
        context.fillStyle = id === app.state.pin ? colors.negative : inkOn(rgb);
        context.textAlign = "center";
        context.fillText(cut(app.label(id), fits), left + cell[0] / 2, top + cell[1] / 2 + 4);
      }
    }
    const column = app.position - this.begin;
    context.strokeStyle = colors.accent;
    context.strokeRect(x + column * cell[0] + 0.5, y + 0.5, cell[0] - 1, rows * cell[1] - 1);
  },

  describe(row, column) {
    const depth = this.depth(row);
    const [ids, shares] = [this.ids(depth, column), this.shares(depth, column)];
    const lines = ids.map((id, place) => `${percent(shares[place]).padStart(9)}  ${this.app.label(id)}`);
    return `${this.name(depth)}, position ${this.begin + column}\n${lines.join("\n")}`;
  },

  /** The most probable tokens of a cell; a click on one pins it. */
  detail(row, column) {
    this.cell = [row, column];
    const { app } = this;
    const depth = this.depth(row);
    const shares = this.shares(depth, column);
    this.where.replaceChildren(`${this.name(depth)}, at ${this.begin + column}: `, tokenElement(app.shown.tokens[this.begin + column]));
    this.best.replaceChildren(...this.ids(depth, column).map((id, place) => h("li", {},
      h("button", { type: "button", class: "plain", "aria-label": `pin ${app.label(id)}`, onclick: () => app.set({ pin: id }) }, tokenElement(app.token(id))),
      h("span", { class: "mono" }, percent(shares[place])))));
  },

  /** The pinned token's rank at the position, from the first depth to the last, on a logarithmic scale. */
  rankPlot(column) {
    const { app } = this;
    const pinned = app.state.pin >= 0;
    this.unpin.hidden = this.plot.hidden = !pinned;
    this.plotTitle.replaceChildren(...(pinned ? ["rank of ", tokenElement(app.token(app.state.pin)), ` at ${app.position}`] : ["pin a token to plot its rank by depth"]));
    if (!pinned) return;
    const [depths] = this.found.shape;
    const ranks = Array.from({ length: depths }, (_, depth) => this.found.data[this.at(depth, column) + 2 * TOP]);
    const logprobs = Array.from({ length: depths }, (_, depth) => this.found.data[this.at(depth, column) + 2 * TOP + 1]);
    const [width, height, left, bottom] = [246, 170, 44, 24];
    const context = prepare(this.plot, width, height);
    const colors = palette();
    const most = Math.log10(app.facts.config.vocab_size);
    const x = (depth) => left + ((width - left - 12) * depth) / Math.max(1, depths - 1);
    const y = (rank) => 10 + ((height - bottom - 16) * Math.log10(rank + 1)) / most;
    context.font = MONO;
    context.fillStyle = colors.faint;
    context.strokeStyle = colors.line;
    context.textAlign = "right";
    for (let power = 0; power <= most; power++) {
      const level = y(10 ** power - 1);
      context.fillText(String(10 ** power), left - 6, level + 4);
      context.beginPath();
      context.moveTo(left, level);
      context.lineTo(width - 6, level);
      context.stroke();
    }
    context.textAlign = "center";
    for (let depth = 0; depth < depths; depth += Math.ceil(depths / 7)) context.fillText(depth ? `L${depth - 1}` : "in", x(depth), height - 6);
    context.strokeStyle = context.fillStyle = colors.accent;
    context.lineWidth = 2;
    context.beginPath();
    ranks.forEach((rank, depth) => context.lineTo(x(depth), y(rank)));
    context.stroke();
    ranks.forEach((rank, depth) => { context.beginPath(); context.arc(x(depth), y(rank), 3, 0, 7); context.fill(); });
    const last = depths - 1;
    this.plot.setAttribute("aria-label", `Rank of ${app.label(app.state.pin)} by depth: ${ranks.map((rank) => rank + 1).join(", ")}; at the end ${percent(Math.exp(logprobs[last]))}`);
    this.plot.title = ranks.map((rank, depth) => `${this.name(depth)}: rank ${rank + 1}, log-probability ${shown(logprobs[depth])}`).join("\n");
  },
};

const cut = (text, length) => (text.length > length ? `${text.slice(0, Math.max(1, length - 1))}…` : text);
