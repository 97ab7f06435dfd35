// Attribution: which heads and networks speak for one token against another.

import { choice, fillChoice, h, shown, toast, tokenElement, visible } from "./dom.js";
import { getArray, getJson } from "./api.js";
import { css, diverging, palette } from "./color.js";
import { Grid, MONO } from "./canvas.js";
import { ranked } from "./sampling.js";

const UNITS = [["head", "heads"], ["component", "attention and MLP"], ["layer", "layers"], ["neuron", "neurons"]];
const BARS = 22;

export const attribution = {
  id: "attribution",
  title: "Attribution",

  mount(root, app) {
    Object.assign(this, { app, root, found: null });
    this.units = choice("Parts", UNITS, app.state.unit, (unit) => app.set({ unit }));
    [this.a, this.b] = ["a", "b"].map((key) => h("input", { type: "text", size: 12, class: "mono", "aria-label": `token ${key.toUpperCase()}`,
      onchange: (event) => this.choose(key, event.target.value) }));
    const swap = h("button", { type: "button", title: "exchange A and B", onclick: () => app.set({ a: this.b.value, b: this.a.value }) }, "⇄");
    this.summary = h("p", { class: "note" });
    this.grid = new Grid({ label: "What each part adds, layers down", describe: (r, c) => this.describe(r, c),
      pick: (r, c) => this.jump(r, c), draw: (context, place) => this.draw(context, place) });
    this.table = h("table", { class: "rows" });
    this.origin = h("p", { class: "origin" });
    root.append(h("div", { class: "controls" }, h("label", {}, "A ", this.a), swap, h("label", {}, "B ", this.b), this.units), this.summary,
      h("div", { class: "pair" }, h("div", {}, this.grid.canvas, this.origin), h("div", { class: "scroll" }, this.table)));
  },

  choose(key, text) {
    const id = this.app.tokenId(text);
    if (id === null) { toast(`${JSON.stringify(text)} is not one token; · stands for a space before a word`); return; }
    this.app.set({ [key]: visible(this.app.token(id)) });
  },

  /** A and B as ids; by default the two that the model expects most. */
  async pair() {
    const { app } = this;
    const logits = await getArray("logits", { run: app.shown.run, position: app.position });
    const order = ranked(logits.data);
    const known = [app.state.a, app.state.b].map((text) => (text ? app.tokenId(text) : null));
    const a = known[0] ?? (order[0] === known[1] ? order[1] : order[0]);
    const b = known[1] ?? (order[1] === a ? order[0] : order[1]);
    return [a, b];
  },

  async update(changed) {
    const { app } = this;
    fillChoice(this.units, UNITS, app.state.unit, (unit) => app.set({ unit }));
    if (!["run", "subject", "position", "a", "b", "unit", "size", "theme", "tab"].some((key) => changed.has(key))) return;
    const mine = (this.serial = (this.serial ?? 0) + 1);
    try {
      const [a, b] = await this.pair();
      this.a.value = app.label(a);
      this.b.value = app.label(b);
      const { unit } = app.state;
      const found = await getJson("attribution", { run: app.shown.run, position: app.position, token: a, against: b, unit }, "attribution");
      if (mine !== this.serial) return;
      this.found = found;
      this.show(a, b);
    } catch (error) {
      app.fail(error, this.summary);
    }
  },

  show(a, b) {
    const { app, found } = this;
    this.summary.replaceChildren("logit of ", tokenElement(app.token(a)), " less that of ", tokenElement(app.token(b)),
      ` after position ${app.position}: `, h("b", {}, shown(found.difference)), `; all parts sum to ${shown(found.sum)}, rounding ${shown(found.remainder, 6)}`);
    this.grid.canvas.hidden = !found.values;
    if (found.values) this.layout();
    const read = { head: "blocks.*.attn.hook_z", neuron: "blocks.*.mlp.hook_post", component: "blocks.*.hook_attn_out, hook_mlp_out", layer: "blocks.*.hook_attn_out, hook_mlp_out" };
    this.origin.textContent = `${read[found.unit]} [${app.position}], ${found.coordinates} coordinates; embeddings, biases and ${found.unit === "head" ? "MLPs" : "the rest"} in the list`;
    const most = Math.max(...found.best.map((each) => Math.abs(each.value)), 1e-9);
    this.table.replaceChildren(
      h("thead", {}, h("tr", {}, h("th", {}, "part"), h("th", {}, "against ← → for"), h("th", {}, "adds"))),
      h("tbody", {}, ...found.best.slice(0, BARS).map((each) => this.bar(each, most))));
  },

  bar({ name, value }, most) {
    const fill = h("span", { class: value < 0 ? "minus" : "" });
    const share = (50 * Math.abs(value)) / most;
    fill.style.left = `${value < 0 ? 50 - share : 50}%`;
    fill.style.width = `${share}%`;
    const target = this.target(name);
    const label = target ? h("button", { type: "button", class: "plain", onclick: target }, name) : name;
    return h("tr", {}, h("td", {}, label), h("td", { class: "bar-cell" }, h("div", { class: "meter middle" }, fill)), h("td", {}, shown(value)));
  },

  /** Where a click on a part leads. */
  target(name) {
    const { app } = this;
    const head = /^L(\d+)H(\d+)$/.exec(name);
    if (head) return () => app.set({ tab: "attention", layer: Number(head[1]), head: Number(head[2]), locked: true });
    const neuron = /^L(\d+)N(\d+)$/.exec(name);
    if (neuron) return () => app.set({ tab: "neurons", neuron: `${neuron[1]}.${neuron[2]}` });
    return null;
  },

  layout() {
    const { values } = this.found;
    const columns = values[0].length;
    const width = Math.min(this.grid.canvas.parentElement.clientWidth, 640);
    const side = Math.max(20, Math.min(columns > 2 ? 56 : 140, Math.floor((width - 34) / columns)));
    const tall = Math.min(44, side);
    this.grid.show(34 + side * columns, 20 + tall * values.length, { x: 34, y: 20, cell: [side, tall], rows: values.length, columns });
  },

  draw(context, { x, y, cell, rows, columns }) {
    const { values, unit } = this.found;
    const most = Math.max(...values.flat().map(Math.abs), 1e-9);
    const colors = palette();
    const heads = { component: ["attention", "MLP"], layer: ["layer"] }[unit];
    context.font = MONO;
    for (let c = 0; c < columns; c++) {
      context.fillStyle = colors.faint;
      context.textAlign = "center";
      context.fillText(heads?.[c] ?? String(c), x + (c + 0.5) * cell[0], 13);
    }
    for (let r = 0; r < rows; r++) {
      context.textAlign = "right";
      context.fillStyle = colors.faint;
      context.fillText(String(r), x - 7, y + (r + 0.5) * cell[1] + 4);
      for (let c = 0; c < columns; c++) {
        const share = values[r][c] / most;
        context.fillStyle = css(diverging(0.85 * Math.sign(share) * Math.sqrt(Math.abs(share))));
        context.fillRect(x + c * cell[0] + 1, y + r * cell[1] + 1, cell[0] - 2, cell[1] - 2);
        if (cell[0] >= 44 && Math.abs(share) > 0.12) {
          context.fillStyle = Math.abs(share) > 0.5 && !colors.dark ? "#fff" : colors.dark && Math.abs(share) > 0.5 ? "#16181d" : colors.ink;
          context.textAlign = "center";
          context.fillText(shown(values[r][c], 2), x + (c + 0.5) * cell[0], y + (r + 0.5) * cell[1] + 4);
        }
      }
    }
  },

  describe(row, column) {
    const { values, unit } = this.found;
    const name = { head: `layer ${row}, head ${column}`, component: `layer ${row}, ${column ? "MLP" : "attention"}`, layer: `layer ${row}` }[unit];
    return `${name}: ${shown(values[row][column], 4)}`;
  },

  jump(row, column) {
    if (this.found.unit === "head") this.app.set({ tab: "attention", layer: row, head: column, locked: true });
  },
};
