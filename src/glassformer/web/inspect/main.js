// The page: runs the text as it is typed, and keeps the views up to date with what they show.

import { $, bytes, copyText, fillChoice, h, toast, visible } from "./dom.js";
import { ApiError, getJson, isStale, post } from "./api.js";
import { forget } from "./color.js";
import { copyPicture } from "./picture.js";
import * as store from "./state.js";
import { tokens } from "./tokens.js";
import { next } from "./next.js";
import { attention } from "./attention.js";
import { lens } from "./lens.js";
import { attribution } from "./attribution.js";
import { neurons } from "./neurons.js";
import { edits } from "./edits.js";
import { ledger } from "./ledger.js";
import { source } from "./source.js";

const VIEWS = [attention, lens, attribution, neurons, edits, ledger, source];

/** What the views are given: the model's facts, the runs, and ways to change what is shown. */
export const app = {
  facts: null, vocabulary: null, run: null, edited: null, timings: {},
  get state() { return store.get(); },
  set: store.set,
  /** The run that the views show: the model as it is, or as it was changed. */
  get shown() { return this.state.subject === "edited" && this.edited ? this.edited : this.run; },
  get count() { return this.shown?.ids.length ?? 0; },
  get position() {
    const wanted = this.state.position;
    return wanted < 0 || wanted >= this.count ? this.count - 1 : wanted;
  },
  token(id) { return this.vocabulary ? this.vocabulary[id] : `[${id}]`; },
  /** An id from what somebody typed: a token's text, `·` for the space before it, or a number. */
  tokenId(text) {
    const wanted = text.replaceAll("·", " ").replaceAll("⏎", "\n");
    const place = this.vocabulary ? this.vocabulary.indexOf(wanted) : -1;
    if (place >= 0) return place;
    const number = /^\s*\[?(\d+)\]?\s*$/.exec(text)?.[1];
    return number !== undefined && Number(number) < this.facts.config.vocab_size ? Number(number) : null;
  },
  /** The changes of now, as the server takes them. */
  changes() {
    const { edits: changes, other } = this.state;
    return { run: this.run.run, changes, ...(changes.some((each) => each.mode === "patch") ? { other } : {}) };
  },
  /** Done when every view has come to rest. */
  async settled() {
    for (let last = null; last !== pending;) {
      last = pending;
      await last;
    }
  },
  label(id) { return visible(this.token(id)); },
  fail(error, where) {
    if (isStale(error)) return;
    if (error.code === "run_unknown" && performance.now() - restarted > 5000) {
      restarted = performance.now(); // the server made room by dropping the run
      runText();
      return;
    }
    if (where) where.replaceChildren(h("p", { class: "wrong" }, error.message));
    else toast(error.message);
    if (!(error instanceof ApiError)) console.error(error);
  },
};

let pending = Promise.resolve();

/** Remember what is under way, for `app.settled`. */
function wait(promise) {
  pending = Promise.all([pending, promise.catch(() => null)]);
}

let serial = 0;
let restarted = -Infinity;

function status(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

/** What to run: ids where tokens were forced or typed as numbers, else the text. */
function asked() {
  const { text, ids, begin } = app.state;
  if (ids) return { ids };
  if (app.vocabulary) return { text, begin };
  return { ids: (text.match(/\d+/g) ?? []).map(Number), begin };
}

export async function runText() {
  const mine = ++serial;
  const started = performance.now();
  try {
    const run = await post("runs", asked(), "run");
    if (mine !== serial) return;
    app.run = run;
    app.edited = null;
    app.timings.run = performance.now() - started;
    status(`${run.ids.length} tokens · ${(1000 * run.seconds).toFixed(0)} ms in the model · ${bytes(run.nbytes)} captured`);
    if (app.state.ids) $("text").value = run.text ?? run.ids.join(" ");
    await runEdits(false);
    if (mine === serial) update(new Set(["run"]));
  } catch (error) {
    if (isStale(error)) return;
    status(error.message, true);
  }
}

/** Run the text with the changes that were made on the page. */
export async function runEdits(tell = true) {
  const started = performance.now();
  if (!app.state.edits.length || !app.run) app.edited = null;
  else {
    try {
      app.edited = await post("runs", app.changes(), "edited");
      app.editError = null;
      app.timings.edit = performance.now() - started;
    } catch (error) {
      if (isStale(error)) return;
      app.edited = null;
      app.editError = error.message;
    }
  }
  if (tell) update(new Set(["run", "edited"]));
}

function showSubject() {
  const group = $("subject");
  if (!app.edited) group.replaceChildren();
  else fillChoice(group, [["baseline", "model as it is"], ["edited", `with ${app.state.edits.length} edit${app.state.edits.length > 1 ? "s" : ""}`]],
    app.state.subject, (subject) => app.set({ subject }));
}

let current = null;

function showTab() {
  const wanted = VIEWS.find((view) => view.id === app.state.tab) ?? VIEWS[0];
  const tabs = $("tabs");
  const had = tabs.contains(document.activeElement);
  for (const button of tabs.children) {
    const selected = button.dataset.id === wanted.id;
    button.setAttribute("aria-selected", String(selected));
    button.tabIndex = selected ? 0 : -1;
    if (selected && had) button.focus();
  }
  if (current === wanted) return false;
  current = wanted;
  const root = $("view");
  root.replaceChildren();
  root.setAttribute("aria-label", wanted.title);
  wanted.mount(root, app);
  return true;
}

/** Bring up to date what depends on some values of the state, or on "run". */
function update(changed) {
  showSubject();
  if (!app.run) return;
  const fresh = showTab();
  const all = [tokens.update(changed), next.update(changed), current.update(fresh ? new Set(["run", ...changed]) : changed)];
  wait(Promise.all(all));
}

function makeTabs() {
  $("tabs").replaceChildren(...VIEWS.map((view, place) => h("button", {
    type: "button", role: "tab", id: `tab-${view.id}`, "data-id": view.id, "aria-controls": "view",
    onclick: () => app.set({ tab: view.id }),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) app.set({ tab: VIEWS[(place + step + VIEWS.length) % VIEWS.length].id });
    },
  }, view.title, h("kbd", { "aria-hidden": "true" }, String(place + 1)))));
}

const THEMES = ["system", "light", "dark"];
const darkSystem = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const wanted = localStorage.getItem("theme") ?? "system";
  document.documentElement.dataset.theme = wanted === "system" ? (darkSystem.matches ? "dark" : "light") : wanted;
  $("theme").textContent = `Theme: ${wanted}`;
  forget();
  if (app.run) update(new Set(["theme"]));
}

function listen() {
  let typing = 0;
  $("text").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => app.set({ text: $("text").value, ids: null, position: -1 }), 50);
  });
  $("begin").addEventListener("change", () => app.set({ begin: $("begin").checked }));
  $("link").addEventListener("click", () => copyText(`${location.origin}${location.pathname}#${store.fragment()}`, "Link"));
  $("png").addEventListener("click", () => copyPicture($("view"), current.title));
  $("theme").addEventListener("click", () => {
    const now = localStorage.getItem("theme") ?? "system";
    localStorage.setItem("theme", THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
    applyTheme();
  });
  darkSystem.addEventListener("change", applyTheme);
  $("skip").addEventListener("click", (event) => { event.preventDefault(); $("view").focus(); });
  document.addEventListener("keydown", (event) => {
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = Number(event.key) - 1;
    if (VIEWS[place]) app.set({ tab: VIEWS[place].id });
    if (event.key === "[" || event.key === "]") {
      const wanted = app.position + (event.key === "]" ? 1 : -1);
      app.set({ position: Math.max(0, Math.min(app.count - 1, wanted)) });
    }
  });
  let resizing = 0;
  new ResizeObserver(() => {
    clearTimeout(resizing);
    resizing = setTimeout(() => { if (app.run) update(new Set(["size"])); }, 60);
  }).observe($("view"));
}

function fillInput() {
  const { text, begin, ids } = app.state;
  if (!ids && $("text").value !== text) $("text").value = text;
  $("begin").checked = begin;
}

function stateChanged(state, changed) {
  if (["text", "ids", "begin"].some((key) => changed.has(key))) { fillInput(); wait(runText()); }
  else if (["edits", "other"].some((key) => changed.has(key))) wait(runEdits());
  update(changed);
}

async function start() {
  applyTheme();
  makeTabs();
  listen();
  try {
    [app.facts, { tokens: app.vocabulary }] = await Promise.all([getJson("model"), getJson("vocabulary")]);
  } catch (error) {
    status(error.message, true);
    return;
  }
  const { config } = app.facts;
  $("model").textContent = `${app.facts.name} · ${config.n_layer} layers × ${config.n_head} heads × ${config.head_dim} · width ${config.n_embd} · ` +
    `${bytes(app.facts.weight_bytes)} of weights (${app.facts.dtype}) · ${app.facts.threads} threads, ${app.facts.target}`;
  document.title = `${app.facts.name}: Glassformer`;
  if (!app.vocabulary) {
    store.DEFAULTS.text = "0 1 2 3 4 5 6 7";
    $("text").placeholder = "token ids: this model has no vocabulary";
    document.documentElement.dataset.ids = "only";
  }
  tokens.mount($("tokens"), app);
  next.mount($("next"), app);
  const [layer, head] = [config.n_layer - 1, config.n_head - 1];
  store.limit({ layer, head, at: layer, pin: config.vocab_size - 1, new_tokens: 256 });
  store.restore();
  if (!app.vocabulary && !location.hash.includes("text=")) store.set({ text: store.DEFAULTS.text });
  store.watch(stateChanged);
  fillInput();
  await runText();
  await app.settled();
  document.documentElement.dataset.ready = "true";
}

start();
