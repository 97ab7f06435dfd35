// Source: the forward pass as it is written; a line's site shows its array and what its operation took.

import { h, shown, tokenElement, visible } from "./dom.js";
import { getArray, getJson } from "./api.js";
import { Grid, MONO, picture, stamp } from "./canvas.js";
import { palette } from "./color.js";
import { ledger } from "./ledger.js";

export const source = {
  id: "source",
  title: "Source",

  mount(root, app) {
    Object.assign(this, { app, root, drawn: null });
    this.code = h("div", { class: "code scroll", role: "listbox", tabindex: 0, "aria-label": "Forward pass; lines with a site can be chosen", onkeydown: (event) => this.key(event) });
    this.layer = h("select", { "aria-label": "Layer", onchange: () => app.set({ at: Number(this.layer.value) }) },
      ...Array.from({ length: app.facts.config.n_layer }, (_, layer) => h("option", { value: layer }, `layer ${layer}`)));
    this.name = h("h3");
    this.stats = h("table", { class: "rows" });
    this.map = new Grid({ label: "The array, tokens down", describe: (r, c) => this.describe(r, c), pick: (r) => app.set({ position: this.token(r) }), draw: (context, place) => this.draw(context, place) });
    this.origin = h("p", { class: "origin" });
    this.row = h("p", { class: "note" });
    this.file = h("span", { class: "origin" });
    root.append(h("div", { class: "controls" }, this.file, h("span", { class: "note" }, "lines with a mark name a site"), this.layer),
      h("div", { class: "source" }, this.code, h("div", {}, this.name, this.map.canvas, this.origin, this.stats, this.row)));
  },

  async update(changed) {
    const { app } = this;
    if (!["run", "subject", "site", "at", "position", "size", "theme", "tab"].some((key) => changed.has(key))) return;
    try {
      this.text ??= await getJson("source");
      if (!this.code.children.length) this.list();
      this.layer.value = app.state.at;
      this.mark();
      await this.show();
    } catch (error) {
      app.fail(error, this.name);
    }
  },

  list() {
    const { app, text } = this;
    this.file.textContent = text.file;
    const sites = new Map();
    for (const each of text.sites) sites.set(each.line, [...(sites.get(each.line) ?? []), each.site]);
    this.code.replaceChildren(...text.lines.map((line, place) => {
      const names = sites.get(place + 1);
      const attributes = names ? { class: "row named", role: "option", "data-site": names[0], "data-names": names.join(" "), "aria-label": `line ${place + 1}: ${names.join(", ")}`, onclick: () => this.choose(names) } : { class: "row" };
      return h("div", attributes, h("span", { class: "number", "aria-hidden": "true" }, String(place + 1)), h("span", {}, line || " "));
    }));
  },

  /** A line that names several sites goes through them, click by click. */
  choose(names) {
    const now = names.indexOf(this.app.state.site);
    this.app.set({ site: names[(now + 1) % names.length] });
  },

  mark() {
    for (const row of this.code.querySelectorAll(".named")) {
      const chosen = row.dataset.names.split(" ").includes(this.app.state.site);
      row.setAttribute("aria-selected", String(chosen));
      if (chosen && this.marked !== this.app.state.site) {
        this.code.scrollTop = row.offsetTop - this.code.offsetTop - this.code.clientHeight / 3;
      }
    }
    this.marked = this.app.state.site;
  },

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = [...this.code.querySelectorAll(".named")];
    const now = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
    const wanted = rows[Math.max(0, Math.min(rows.length - 1, now + step))];
    this.app.set({ site: wanted.dataset.site });
  },

  /** The full name of the chosen site. */
  site() {
    const { app } = this;
    const { site, at } = app.state;
    const names = app.facts.sites.map((each) => each.name);
    return names.includes(site) ? site : names.find((name) => name === `blocks.${at}.${site}`) ?? names[0];
  },

  async show() {
    const { app } = this;
    const name = this.site();
    const shape = app.facts.sites.find((each) => each.name === name).axes;
    const axes = shape.map(([axis]) => axis);
    this.found = await getArray("array", { run: app.shown.run, site: name, rows: 96, columns: 384, ...(axes.includes("queries") ? { head: app.state.head } : {}) }, "site");
    const [rows, columns] = this.found.shape;
    const [low, high, mean, root] = ["low", "high", "mean", "rms"].map((key) => this.found.note(key));
    const most = Math.max(Math.abs(Number(low)), Math.abs(Number(high)), 1e-9);
    const signed = Number(low) < 0;
    this.image = picture(this.found.data, rows, columns, (value) => Math.sign(value) * Math.sqrt(Math.abs(value) / most), signed);
    this.name.textContent = name;
    const whole = this.found.note("whole");
    const reduced = this.found.note("reduced") === "yes";
    this.origin.textContent = `[${whole}]${reduced ? `, drawn ${rows} × ${columns}: of each patch${this.found.note("sampled") ? " of some tokens" : ""} the value farthest from 0` : ""}; from the run of this text`;
    const sizes = shape.map(([axis, length]) => `${axis} ${length || app.count}`).join(" × ") + (axes.includes("queries") ? `; head ${app.state.head} is drawn` : "");
    this.stats.replaceChildren(h("tbody", {}, ...[["axes", sizes], ["least", shown(Number(low), 4)], ["greatest", shown(Number(high), 4)], ["mean", shown(Number(mean), 4)], ["root mean square", shown(Number(root), 4)]].map(([key, value]) => h("tr", {}, h("td", {}, key), h("td", {}, value)))));
    const width = Math.max(200, this.map.canvas.parentElement.clientWidth);
    const tall = Math.max(3, Math.min(14, Math.floor(340 / rows)));
    this.map.show(width, 4 + tall * rows, { x: 62, y: 2, cell: [(width - 64) / columns, tall], rows, columns });
    this.operation(name);
  },

  token(row) {
    return Math.floor((row * this.app.count) / this.found.shape[0]);
  },

  draw(context, { x, y, cell, rows, columns }) {
    const colors = palette();
    stamp(context, this.image, x, y, cell[0] * columns, cell[1] * rows);
    context.strokeStyle = colors.line;
    context.strokeRect(x - 0.5, y - 0.5, cell[0] * columns + 1, cell[1] * rows + 1);
    context.font = MONO;
    context.textAlign = "right";
    const every = Math.ceil(12 / cell[1]);
    for (let row = 0; row < rows; row += every) {
      const place = this.token(row);
      context.fillStyle = place === this.app.position ? colors.accent : colors.faint;
      context.fillText(visible(this.app.shown.tokens[place] ?? "").slice(0, 8), x - 5, y + (row + 0.5) * cell[1] + 4);
    }
  },

  describe(row, column) {
    return `${visible(this.app.shown.tokens[this.token(row)] ?? "")} (${this.token(row)}), ${column}: ${shown(this.found.data[row * this.found.shape[1] + column], 5)}`;
  },

  /** The ledger's row for the operation that writes the site, once something was measured. */
  operation(name) {
    const tail = name.replace(/^blocks\.\d+\./, "");
    const lines = ledger.found?.decode.operations ?? [];
    const line = lines.find((each) => each.sites.includes(tail));
    const told = line
      ? `written by ${line.name} (${line.place}): ${(1e6 * line.seconds / line.calls).toFixed(1)} µs a launch when decoding, ${line.gb_s.toFixed(1)} GB/s, ${line.gflop_s.toFixed(1)} GFLOP/s`
      : lines.length ? "no operation of its own when decoding" : "nothing is measured yet";
    this.row.replaceChildren(told, " ", h("button", { type: "button", onclick: () => this.app.set({ tab: "ledger" }) }, lines.length ? "ledger" : "measure in the ledger"));
  },
};
