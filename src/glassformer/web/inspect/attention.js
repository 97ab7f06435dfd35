// Attention: every head as a thumbnail, and one of them whole, as a matrix or as arcs.

import { choice, fillChoice, h, shown, visible } from "./dom.js";
import { getArray, getJson } from "./api.js";
import { palette } from "./color.js";
import { Grid, MONO, picture, prepare, stamp } from "./canvas.js";

const VIEWS = [["pattern", "pattern"], ["scores", "scores"], ["value_weighted", "value-weighted"]];
const SHAPES = [["matrix", "matrix"], ["arcs", "arcs"]];
const SORTS = [["layer", "layer"], ["induction", "induction"], ["previous_token", "previous"], ["duplicate_token", "duplicate"], ["first_token", "first"]];
const LABELLED = 44; // tokens up to which axes are labelled
const ARCS = 44; // tokens that arcs show around the position

export const attention = {
  id: "attention",
  title: "Attention",

  mount(root, app) {
    this.app = app;
    Object.assign(this, { thumbs: null, full: null, hovered: null, order: [], scores: null });
    this.views = choice("What is shown of each head", VIEWS, app.state.view, (view) => app.set({ view }));
    this.shapes = choice("How the head is drawn", SHAPES, app.state.shape, (shape) => app.set({ shape }));
    this.sorts = choice("Order of the heads", SORTS, app.state.sort, (sort) => app.set({ sort }));
    this.heads = new Grid({ label: "Heads, layers down and heads across", describe: (r, c) => this.describeHead(r, c),
      hover: (cell) => this.hover(cell), pick: (r, c) => this.lock(r, c), draw: (context, place) => this.drawHeads(context, place) });
    this.matrix = new Grid({ label: "Attention of the head, queries down and keys across", describe: (r, c) => this.describeCell(r, c),
      pick: (r) => app.set({ position: this.query(r) }), draw: (context, place) => this.drawMatrix(context, place) });
    this.arcs = h("canvas", { role: "img", tabindex: 0, "aria-label": "Attention as arcs" });
    this.arcs.addEventListener("click", (event) => this.arcClicked(event));
    this.name = h("h3");
    this.origin = h("p", { class: "origin" });
    this.sortNote = h("p", { class: "note" });
    root.append(h("div", { class: "controls" }, this.views, h("span", {}, "order ", this.sorts), this.shapes, this.sortNote),
      h("div", { class: "attention" }, h("div", { class: "heads" }, this.heads.canvas),
        h("div", { class: "single" }, this.name, this.matrix.canvas, this.arcs, this.origin)));
    this.root = root;
  },

  async update(changed) {
    const { app } = this;
    fillChoice(this.views, VIEWS, app.state.view, (view) => app.set({ view }));
    fillChoice(this.shapes, SHAPES, app.state.shape, (shape) => app.set({ shape }));
    fillChoice(this.sorts, SORTS, app.state.sort, (sort) => app.set({ sort }));
    const has = (...keys) => keys.some((key) => changed.has(key));
    if (!has("run", "subject", "view", "shape", "sort", "layer", "head", "locked", "position", "size", "theme", "tab", "edited")) return;
    const mine = (this.serial = (this.serial ?? 0) + 1);
    try {
      if (has("run", "subject", "view", "edited") || !this.thumbs) await this.fetchThumbs();
      if (has("sort", "run") || !this.order.length) await this.sort();
      this.layoutHeads();
      const full = await this.fetchHead();
      if (mine === this.serial) await this.showHead(full);
    } catch (error) {
      app.fail(error, this.origin);
    }
  },

  async fetchThumbs() {
    const { app } = this;
    this.thumbs = await getArray("attention/thumbnails", { run: app.shown.run, view: app.state.view }, "thumbnails");
    const [layers, heads, rows, columns] = this.thumbs.shape;
    const t = scale(this.thumbs.data, app.state.view);
    this.images = Array.from({ length: layers * heads }, (_, i) => picture(this.thumbs.data, rows, columns, t, false, i * rows * columns));
    this.imageTheme = palette();
  },

  async sort() {
    const { app } = this;
    const { n_layer: layers, n_head: heads } = app.facts.config;
    const all = Array.from({ length: layers * heads }, (_, i) => [Math.floor(i / heads), i % heads]);
    const kind = app.state.sort;
    this.scores = kind === "layer" ? null : await getArray("head_scores", { kind });
    if (this.scores) all.sort((a, b) => this.score(b) - this.score(a));
    this.order = all;
    this.sortNote.textContent = this.scores ? `${kind.replace("_", " ")} score of each head on ${this.scores.note("text")}` : "";
  },

  score([layer, head]) {
    return this.scores.data[layer * this.app.facts.config.n_head + head];
  },

  layoutHeads() {
    if (this.imageTheme !== palette()) this.thumbs && this.repaint();
    const { n_layer: layers, n_head: heads } = this.app.facts.config;
    const width = this.root.clientWidth - 24;
    const room = this.stacked() ? width : Math.min(width * 0.46, 620);
    const side = Math.max(18, Math.min(64, Math.floor((room - 22) / heads)));
    this.heads.show(22 + side * heads, 16 + side * layers, { x: 22, y: 16, cell: [side, side], rows: layers, columns: heads });
  },

  /** Whether there is no room for the heads beside the one head. */
  stacked() {
    return this.root.clientWidth < 700;
  },

  repaint() {
    const [layers, heads, rows, columns] = this.thumbs.shape;
    const t = scale(this.thumbs.data, this.app.state.view);
    this.images = Array.from({ length: layers * heads }, (_, i) => picture(this.thumbs.data, rows, columns, t, false, i * rows * columns));
    this.imageTheme = palette();
  },

  drawHeads(context, { x, y, cell, rows, columns }) {
    const colors = palette();
    const sorted = this.scores !== null;
    context.font = MONO;
    context.fillStyle = colors.faint;
    context.textAlign = "center";
    if (!sorted) for (let c = 0; c < columns; c++) context.fillText(String(c), x + (c + 0.5) * cell[0], 11);
    context.textAlign = "right";
    if (!sorted) for (let r = 0; r < rows; r++) context.fillText(String(r), x - 5, y + (r + 0.5) * cell[1] + 4);
    const { layer, head, locked } = this.app.state;
    this.order.forEach(([l, n], place) => {
      const [r, c] = [Math.floor(place / columns), place % columns];
      const [left, top] = [x + c * cell[0], y + r * cell[1]];
      stamp(context, this.images[l * columns + n], left + 1.5, top + 1.5, cell[0] - 3, cell[1] - 3);
      const chosen = l === layer && n === head;
      context.strokeStyle = chosen ? colors.accent : colors.line;
      context.lineWidth = chosen ? (locked ? 2.5 : 2) : 1;
      context.strokeRect(left + 1.5, top + 1.5, cell[0] - 3, cell[1] - 3);
      if (sorted && cell[0] >= 30) {
        const name = cell[0] >= 58 ? `${l}.${n} ${this.score([l, n]).toFixed(2)}` : `${l}.${n}`;
        context.textAlign = "right";
        context.fillStyle = colors.card;
        context.globalAlpha = 0.8;
        context.fillRect(left + cell[0] - 7 - 6.7 * name.length, top + 3, 6.7 * name.length + 4, 14);
        context.globalAlpha = 1;
        context.fillStyle = colors.ink;
        context.fillText(name, left + cell[0] - 5, top + 14);
      }
    });
  },

  headAt(row, column) {
    return this.order[row * this.app.facts.config.n_head + column];
  },

  describeHead(row, column) {
    const [layer, head] = this.headAt(row, column);
    return `layer ${layer}, head ${head}${this.scores ? `: ${shown(this.score([layer, head]))}` : ""}`;
  },

  /** Hovering shows a head until one is locked by a click. */
  hover(cell) {
    if (!cell || this.app.state.locked) return;
    const [layer, head] = this.headAt(...cell);
    this.app.set({ layer, head });
  },

  lock(row, column) {
    const [layer, head] = this.headAt(row, column);
    const { layer: l, head: n, locked } = this.app.state;
    this.app.set(locked && l === layer && n === head ? { locked: false } : { layer, head, locked: true });
  },

  async fetchHead() {
    const { app } = this;
    const { layer, head, view } = app.state;
    const room = this.root.clientWidth - 24 - (this.stacked() ? 0 : (this.heads.width ?? 0) + 20);
    this.room = Math.max(300, Math.min(room, 680, Math.max(420, 0.58 * innerHeight)));
    const size = Math.min(512, 64 * Math.max(1, Math.round(this.room / 64)));
    return getArray("attention/head", { run: app.shown.run, view, layer, head, size }, "head");
  },

  showHead(full) {
    const { app } = this;
    this.full = full;
    this.image = picture(full.data, ...full.shape, scale(full.data, app.state.view));
    const { layer, head, view, shape, locked } = app.state;
    const count = app.count;
    this.name.textContent = `layer ${layer}, head ${head}${locked ? ", locked" : ""}`;
    const [rows] = this.full.shape;
    this.origin.textContent = `${this.full.site}[${head}]${view === "value_weighted" ? " × |hook_v|" : ""}  [${count}, ${count}]` +
      `${rows < count ? `, drawn ${rows} × ${rows}, the greatest of each patch` : ""}`;
    this.matrix.canvas.hidden = shape !== "matrix";
    this.arcs.hidden = shape !== "arcs";
    if (shape === "arcs") return this.drawArcs();
    const labels = count <= LABELLED ? 88 : 34;
    const cell = (this.room - labels - 4) / rows;
    this.matrix.show(this.room, labels + cell * rows + 4, { x: labels, y: labels, cell: [cell, cell], rows, columns: rows });
    return undefined;
  },

  query(row) {
    return Math.floor((row * this.app.count) / this.full.shape[0]);
  },

  drawMatrix(context, { x, y, cell, rows }) {
    const colors = palette();
    const { app } = this;
    const side = cell[0] * rows;
    stamp(context, this.image, x, y, side, side);
    context.strokeStyle = colors.line;
    context.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
    context.font = MONO;
    context.fillStyle = colors.faint;
    const every = app.count <= LABELLED ? 1 : Math.ceil(rows / 16);
    for (let row = 0; row < rows; row += every) {
      const place = this.query(row);
      const text = app.count <= LABELLED ? clipped(visible(app.shown.tokens[place]), 12) : String(place);
      context.fillStyle = place === app.position ? colors.accent : colors.faint;
      context.textAlign = "right";
      context.fillText(text, x - 5, y + (row + 0.5) * cell[1] + 4);
      context.save();
      context.translate(x + (row + 0.5) * cell[0] + 4, y - 5);
      context.rotate(-Math.PI / 2);
      context.textAlign = "left";
      context.fillText(text, 0, 0);
      context.restore();
    }
    const row = Math.floor(((app.position + 0.5) * rows) / app.count);
    context.strokeStyle = colors.accent;
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + row * cell[1] + 0.5, side - 1, Math.max(1, cell[1] - 1));
    context.fillStyle = colors.faint;
    context.textAlign = "left";
    context.fillText("query ↓ key →", 2, 12);
  },

  describeCell(row, column) {
    const { app } = this;
    const value = this.full.data[row * this.full.shape[1] + column];
    if (column > row) return null;
    const [query, key] = [this.query(row), this.query(column)];
    const { tokens } = app.shown;
    const patch = this.full.shape[0] < app.count ? " (greatest of this patch)" : "";
    return `${visible(tokens[query])} (${query}) → ${visible(tokens[key])} (${key})\n${app.state.view.replace("_", "-")} ${shown(value, 4)}${patch}`;
  },

  /** Queries to the right, keys to the left, of the tokens around the position. */
  async drawArcs() {
    const { app } = this;
    const { layer, head, view } = app.state;
    const last = Math.min(app.count, Math.max(app.position + 1, ARCS));
    const first = Math.max(0, last - ARCS);
    const weights = view === "scores" ? "pattern" : view;
    const row = await getArray("attention/row", { run: app.shown.run, view: weights, layer, head, position: app.position });
    const lineHeight = Math.max(12, Math.min(17, Math.floor(560 / (last - first))));
    const height = 24 + lineHeight * (last - first);
    const context = prepare(this.arcs, this.room, height);
    const colors = palette();
    const [left, right] = [this.room * 0.34, this.room * 0.66];
    const y = (place) => 30 + lineHeight * (place - first);
    Object.assign(this, { arcFirst: first, arcLast: last, arcHeight: lineHeight });
    context.font = MONO;
    context.fillStyle = colors.faint;
    context.textAlign = "right";
    context.fillText(first ? `keys, from ${first} on` : "keys", left - 8, 12);
    context.textAlign = "left";
    context.fillText("queries", right + 8, 12);
    if (this.full.shape[0] === app.count) this.faintArcs(context, first, last, left, right, y);
    const most = Math.max(...row.data, 1e-9);
    context.strokeStyle = colors.accent;
    for (let key = first; key <= app.position; key++) {
      const share = row.data[key] / most;
      if (share < 0.01) continue;
      context.globalAlpha = Math.min(1, 0.15 + share);
      context.lineWidth = 0.6 + 4.4 * share;
      curve(context, left, y(key) - 4, right, y(app.position) - 4);
    }
    context.globalAlpha = 1;
    for (let place = first; place < last; place++) {
      const text = clipped(visible(app.shown.tokens[place]), 22);
      context.fillStyle = colors.ink;
      context.textAlign = "right";
      context.fillText(text, left - 8, y(place));
      context.fillStyle = place === app.position ? colors.accent : colors.ink;
      context.textAlign = "left";
      context.fillText(text, right + 8, y(place));
    }
    this.arcs.setAttribute("aria-label", this.arcText(row.data, most));
  },

  arcText(row, most) {
    const best = Array.from(row.keys()).sort((a, b) => row[b] - row[a]).slice(0, 5).filter((place) => row[place] > 0.01 * most);
    return `From ${visible(this.app.shown.tokens[this.app.position])}: ` +
      best.map((place) => `${visible(this.app.shown.tokens[place])} ${shown(row[place])}`).join(", ");
  },

  faintArcs(context, first, last, left, right, y) {
    if (this.app.state.view === "scores") return;
    context.strokeStyle = palette().faint;
    const columns = this.full.shape[1];
    for (let query = first; query < last; query++) {
      for (let key = first; key <= query; key++) {
        const weight = this.full.data[query * columns + key];
        if (weight < 0.08 || query === this.app.position) continue;
        context.globalAlpha = Math.min(0.45, 0.4 * weight);
        context.lineWidth = 1 + weight;
        curve(context, left, y(key) - 4, right, y(query) - 4);
      }
    }
    context.globalAlpha = 1;
  },

  arcClicked(event) {
    const place = this.arcFirst + Math.floor((event.offsetY - 30 + 0.75 * this.arcHeight) / this.arcHeight);
    if (place >= this.arcFirst && place < this.arcLast) this.app.set({ position: place });
  },
};

function curve(context, x1, y1, x2, y2) {
  const middle = (x1 + x2) / 2;
  context.beginPath();
  context.moveTo(x1, y1);
  context.bezierCurveTo(middle, y1, middle, y2, x2, y2);
  context.stroke();
}

const clipped = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

/** Values to 0..1: the root of the share of the greatest, so that small weights are seen; scores from least to greatest. */
function scale(data, view) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of data) {
    if (value > high) high = value;
    if (value < low && value > -Infinity) low = value;
  }
  if (view === "scores") return (value) => (value - low) / Math.max(1e-9, high - low);
  return (value) => Math.sqrt(Math.max(0, value) / Math.max(1e-9, high));
}
