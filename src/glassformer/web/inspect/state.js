// What the page shows, kept in the address behind #, so that a link restores it.

export const DEFAULTS = {
  text: "Once upon a time, in a village of wooden houses by a lake, there was a little girl named Ivy. She had a dear old neighbor. One day,",
  ids: null, begin: false, position: -1, tab: "attention", subject: "baseline", color: "surprise",
  layer: 0, head: 0, locked: false, view: "pattern", shape: "matrix", sort: "layer",
  temperature: 1, top_k: 0, top_p: 1, min_p: 0,
  a: "", b: "", unit: "head", pin: -1, neuron: "", edits: [], mode: "zero", scope: "all", other: "", sweep: "resid_pre",
  site: "hook_resid_post", at: 0, new_tokens: 16,
};

// What is held as JSON, and what its items must be.
const JSON_KEYS = new Map([["ids", Number.isInteger], ["edits", (each) => each !== null && typeof each === "object"]]);
const FRACTIONS = new Set(["temperature", "top_p", "min_p"]);
const limits = {}; // the highest value of a key, where the model sets one
let state = { ...DEFAULTS };
const watchers = [];
let timer = 0;

export const get = () => state;

/** Change some values; watchers are told which ones really changed. */
export function set(patch) {
  const changed = Object.keys(patch).filter((key) => JSON.stringify(patch[key]) !== JSON.stringify(state[key]));
  if (!changed.length) return;
  state = { ...state, ...patch };
  clearTimeout(timer);
  timer = setTimeout(write, 120);
  const names = new Set(changed);
  for (const watcher of watchers) watcher(state, names);
}

/** Say how high some values may be in an address. */
export function limit(most) {
  Object.assign(limits, most);
}

export function watch(watcher) {
  watchers.push(watcher);
}

export function fragment() {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) {
    if (JSON.stringify(value) === JSON.stringify(DEFAULTS[key])) continue;
    parts.set(key, JSON_KEYS.has(key) ? JSON.stringify(value) : String(value));
  }
  return parts.toString();
}

function write() {
  const text = fragment();
  if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? `#${text}` : location.pathname);
}

/** The state that the address holds; what is malformed there is left at its default. */
export function read() {
  const found = { ...DEFAULTS };
  for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
    if (!Object.hasOwn(DEFAULTS, key)) continue;
    const kind = typeof DEFAULTS[key];
    if (JSON_KEYS.has(key)) {
      try {
        const value = JSON.parse(text);
        if (Array.isArray(value) && value.every(JSON_KEYS.get(key))) found[key] = value;
      } catch { /* left at its default */ }
    } else if (kind === "number") {
      const value = Number(text);
      if (FRACTIONS.has(key) ? Number.isFinite(value) : Number.isInteger(value)) found[key] = Math.min(value, limits[key] ?? value);
    } else found[key] = kind === "boolean" ? text === "true" : text;
  }
  return found;
}

export function restore() {
  set(read());
}

addEventListener("hashchange", () => { if (location.hash.slice(1) !== fragment()) restore(); });
