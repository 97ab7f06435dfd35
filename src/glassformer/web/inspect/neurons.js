// Neurons: those that fire most at the position; one of them over the whole text, and the tokens it speaks for.

import { h, shown, tokenElement, visible } from "./dom.js";
import { getArray, getJson } from "./api.js";
import { css, inkOn, palette, sequence } from "./color.js";
import { MONO, prepare } from "./canvas.js";

const WINDOW = 160; // tokens that are shown around the position; the bars show all

export const neurons = {
  id: "neurons",
  title: "Neurons",

  mount(root, app) {
    Object.assign(this, { app, root });
    this.find = h("input", { type: "text", size: 9, class: "mono", placeholder: "layer.neuron", "aria-label": "Neuron, as layer.neuron",
      onchange: () => this.choose(this.find.value) });
    this.table = h("table", { class: "rows" });
    this.where = h("h3");
    this.text = h("div", { class: "strip", "aria-label": "The text coloured by the neuron" });
    this.plot = h("canvas", { role: "img", "aria-label": "Activation by position" });
    [this.promoted, this.suppressed] = [h("ul", { class: "list" }), h("ul", { class: "list" })];
    this.origin = h("p", { class: "origin" });
    this.title1 = h("h3");
    const color = h("button", { type: "button", onclick: () => app.set({ color: "neuron" }) }, "colour the tokens above by it");
    root.append(h("div", { class: "controls" }, h("label", {}, "neuron ", this.find), color),
      h("div", { class: "neurons" }, h("div", { class: "scroll" }, this.title1, this.table),
        h("div", {}, this.where, this.text, this.plot, this.origin,
          h("div", { class: "pair" }, h("div", {}, h("h3", {}, "promotes"), this.promoted), h("div", {}, h("h3", {}, "suppresses"), this.suppressed)))));
  },

  choose(text) {
    const found = /^\s*L?(\d+)[.N](\d+)\s*$/.exec(text);
    const { n_layer, n_inner } = this.app.facts.config;
    if (found && Number(found[1]) < n_layer && Number(found[2]) < n_inner) this.app.set({ neuron: `${Number(found[1])}.${Number(found[2])}` });
    else this.app.fail(new Error(`give a neuron as layer.neuron, up to ${n_layer - 1}.${n_inner - 1}`));
  },

  async update(changed) {
    const { app } = this;
    if (!["run", "subject", "position", "neuron", "size", "theme", "tab"].some((key) => changed.has(key))) return;
    const mine = (this.serial = (this.serial ?? 0) + 1);
    try {
      const { firing } = await getJson("firing", { run: app.shown.run, position: app.position }, "firing");
      if (mine !== this.serial) return;
      this.list(firing);
      const chosen = app.state.neuron || `${firing[0].layer}.${firing[0].index}`;
      await this.show(chosen);
    } catch (error) {
      app.fail(error, this.where);
    }
  },

  list(firing) {
    const { app } = this;
    const most = Math.max(...firing.map((each) => each.activation), 1e-9);
    this.title1.replaceChildren("firing most at ", tokenElement(app.shown.tokens[app.position]), ` (${app.position})`);
    this.table.replaceChildren(h("thead", {}, h("tr", {}, h("th", {}, "neuron"), h("th", {}, ""), h("th", {}, "activation"))),
      h("tbody", {}, ...firing.map(({ layer, index, activation }) => {
        const fill = h("span");
        fill.style.width = `${Math.max(0, (100 * activation) / most)}%`;
        const name = `${layer}.${index}`;
        return h("tr", { "aria-selected": String(name === app.state.neuron) },
          h("td", {}, h("button", { type: "button", class: "plain", onclick: () => app.set({ neuron: name }) }, name)),
          h("td", { class: "bar-cell" }, h("div", { class: "meter" }, fill)), h("td", {}, shown(activation)));
      })));
  },

  async show(name) {
    const { app } = this;
    const [layer, neuron] = name.split(".").map(Number);
    const [found, spoken] = await Promise.all([
      getArray("neuron", { run: app.shown.run, layer, neuron }, "neuron"), getJson("neuron/tokens", { layer, neuron }, "neuron-tokens")]);
    this.find.value = name;
    this.where.textContent = `neuron ${name} over the text`;
    this.color(found.data);
    this.draw(found.data);
    this.origin.textContent = `${found.site}[:, ${neuron}]  [${found.shape}]; promotes and suppresses: its row of the output weights through ln_final and the unembedding`;
    for (const [list, each] of [[this.promoted, spoken.promoted], [this.suppressed, spoken.suppressed]]) {
      list.replaceChildren(...each.ids.map((id, place) => h("li", {}, tokenElement(app.token(id)), h("span", { class: "mono" }, shown(each.values[place])))));
    }
  },

  color(values) {
    const { app } = this;
    const most = Math.max(...values, 1e-9);
    const last = Math.min(app.count, Math.max(app.position + WINDOW / 2, WINDOW));
    const first = Math.max(0, last - WINDOW);
    this.where.textContent += first || last < app.count ? `, positions ${first} to ${last - 1}` : "";
    this.text.replaceChildren(...app.shown.tokens.slice(first, last).map((text, index) => {
      const place = first + index;
      const rgb = sequence(0.8 * Math.max(0, values[place]) / most);
      const span = h("span", { class: "cell", title: `${visible(text)} (${place}): ${shown(values[place], 4)}`, onclick: () => app.set({ position: place }) },
        h("span", { class: "word" }, text.replaceAll("\n", "⏎")));
      span.style.background = css(rgb);
      span.style.color = inkOn(rgb);
      return span;
    }));
  },

  /** Activation by position, the selected one marked. */
  draw(values) {
    const width = Math.max(240, this.text.clientWidth);
    const height = 96;
    const context = prepare(this.plot, width, height);
    const colors = palette();
    const [low, high] = [Math.min(0, ...values), Math.max(1e-6, ...values)];
    const y = (value) => 8 + ((height - 24) * (high - value)) / (high - low);
    const step = (width - 46) / values.length;
    context.font = MONO;
    context.fillStyle = colors.faint;
    context.textAlign = "right";
    context.fillText(shown(high, 2), 40, 14);
    context.fillText("0", 40, y(0) + 4);
    for (let place = 0; place < values.length; place++) {
      context.fillStyle = place === this.app.position ? colors.negative : colors.accent;
      const top = Math.min(y(values[place]), y(0));
      context.fillRect(46 + place * step, top, Math.max(1, step - 1), Math.max(1, Math.abs(y(values[place]) - y(0))));
    }
    this.plot.setAttribute("aria-label", `Activation by position, from ${shown(Math.min(...values))} to ${shown(high)}`);
  },
};
