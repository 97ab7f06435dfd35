// Tokens and surprise: the text as tokens, coloured; a click sets the position for all views.

import { choice, fillChoice, h, percent, shown, tip, visible } from "./dom.js";
import { css, inkOn, sequence } from "./color.js";
import { getArray, getJson } from "./api.js";
import { pictureButton } from "./picture.js";

const MOST_BITS = 12; // of surprise, where the colour is at its strongest
const COLORS = [["surprise", "surprise"], ["attention", "attention"], ["neuron", "neuron"]];

export const tokens = {
  mount(root, app) {
    this.app = app;
    this.strip = h("div", { class: "strip", role: "listbox", "aria-label": "Tokens; arrow keys move, the position is for all views", tabindex: 0,
      onkeydown: (event) => this.key(event) });
    this.colors = choice("Colour of the tokens", COLORS, "surprise", (color) => app.set({ color }));
    this.legend = h("span", { class: "note" });
    this.origin = h("span", { class: "origin" });
    root.replaceChildren(h("div", { class: "head" }, h("h2", {}, "Tokens"), this.colors, this.legend, this.origin, pictureButton(root, "Tokens")), this.strip);
  },

  update(changed) {
    const { app } = this;
    fillChoice(this.colors, COLORS, app.state.color, (color) => app.set({ color }));
    const rebuilt = !this.spans || changed.has("run") || changed.has("subject");
    if (rebuilt) this.build();
    this.select();
    const relevant = ["run", "subject", "color", "theme", ...(app.state.color === "surprise" ? [] : ["layer", "head", "position", "neuron", "view"])];
    return rebuilt || relevant.some((key) => changed.has(key)) ? this.paint() : undefined;
  },

  build() {
    const { app } = this;
    const run = app.shown;
    const spans = run.tokens.map((text, place) => h("span", {
      class: "cell", role: "option", id: `token-${place}`, "data-place": place, "aria-label": `${visible(text)}, id ${run.ids[place]}`,
    }, h("span", { class: "word" }, text.replaceAll("\n", "⏎")), h("small", {}, String(run.ids[place]))));
    this.strip.replaceChildren(...spans);
    this.spans = spans;
    this.strip.onclick = (event) => {
      const cell = event.target.closest(".cell");
      if (cell) app.set({ position: Number(cell.dataset.place) });
    };
    this.strip.onpointermove = (event) => {
      const cell = event.target.closest(".cell");
      tip(event, cell ? this.describe(Number(cell.dataset.place)) : "");
    };
    this.strip.onpointerleave = () => tip(null, "");
  },

  describe(place) {
    const run = this.app.shown;
    const found = this.surprise;
    const head = `${visible(run.tokens[place])}   id ${run.ids[place]}   position ${place}`;
    if (found?.run !== run.run) return head;
    if (found.logprobs[place] === null) return `${head}\nthe first token: nothing comes before it`;
    return `${head}\nprobability ${percent(Math.exp(found.logprobs[place]))}, rank ${found.ranks[place] + 1}` +
      `\nsurprise ${shown(found.bits[place], 2)} bits; ${shown(found.entropy[place], 2)} were to be expected`;
  },

  select() {
    const place = this.app.position;
    if (this.selected !== undefined) this.spans[this.selected]?.setAttribute("aria-selected", "false");
    this.selected = place;
    this.spans[place]?.setAttribute("aria-selected", "true");
    this.strip.setAttribute("aria-activedescendant", `token-${place}`);
  },

  /** Colours from 0 to 1 for each token. */
  async shares() {
    const { app } = this;
    const run = app.shown;
    const { color, layer, head, view } = app.state;
    if (this.surprise?.run !== run.run) this.surprise = { run: run.run, ...(await getJson("surprise", { run: run.run }, "surprise")) };
    if (color === "attention") {
      const weights = view === "scores" ? "pattern" : view;
      const row = await getArray("attention/row", { run: run.run, view: weights, layer, head, position: app.position });
      const most = Math.max(...row.data, 1e-9);
      this.legend.textContent = `what ${layer}.${head} attends to from position ${app.position}; strongest ${shown(most)}`;
      this.origin.textContent = `${row.site}[${head}, ${app.position}]`;
      return Array.from(run.ids, (_, place) => (row.data[place] ?? 0) / most);
    }
    if (color === "neuron") {
      if (!app.state.neuron) { this.legend.textContent = "choose a neuron in Neurons"; this.origin.textContent = ""; return run.ids.map(() => 0); }
      const [at, number] = app.state.neuron.split(".").map(Number);
      const found = await getArray("neuron", { run: run.run, layer: at, neuron: number });
      const most = Math.max(...found.data, 1e-9);
      this.legend.textContent = `activation of neuron ${app.state.neuron}; strongest ${shown(most)}`;
      this.origin.textContent = `${found.site}[:, ${number}]`;
      return Array.from(found.data, (value) => Math.max(0, value) / most);
    }
    const { bits } = this.surprise;
    const known = bits.filter((value) => value !== null);
    const mean = known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
    this.legend.textContent = `surprise in bits, colour up to ${MOST_BITS}; mean ${shown(mean, 2)}, perplexity ${shown(2 ** mean, 2)}`;
    this.origin.textContent = `hook_logits [${run.ids.length}, ${app.facts.config.vocab_size}]`;
    return bits.map((value) => (value === null ? 0 : value / MOST_BITS));
  },

  async paint() {
    const mine = (this.painting = (this.painting ?? 0) + 1);
    let shares;
    try {
      shares = await this.shares();
    } catch (error) {
      this.app.fail(error);
      return;
    }
    if (mine !== this.painting) return;
    this.spans.forEach((span, place) => {
      const rgb = sequence(0.85 * Math.sqrt(Math.max(0, Math.min(1, shares[place]))));
      span.style.background = css(rgb);
      span.style.color = inkOn(rgb);
    });
  },

  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    event.preventDefault();
    const { app } = this;
    app.set({ position: Math.max(0, Math.min(app.count - 1, app.position + step)) });
    this.spans[app.position].scrollIntoView({ block: "nearest" });
  },
};
