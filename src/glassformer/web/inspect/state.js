// What the page shows, kept in the address behind #, so that a link restores it.

export const DEFAULTS = {
  text: "Once upon a time, in a village of wooden houses by a lake, there was a little girl named Ivy. She had a dear old neighbor. One day,",
  ids: null, begin: false, position: -1, tab: "attention", subject: "baseline", color: "surprise",
  layer: 0, head: 0, locked: false, view: "pattern", shape: "matrix", sort: "layer",
  temperature: 1, top_k: 0, top_p: 1, min_p: 0,
  a: "", b: "", unit: "head", pin: -1, neuron: "", edits: [], mode: "zero", scope: "all", other: "", sweep: "resid_pre",
  site: "hook_resid_post", at: 0, new_tokens: 16,
};

const JSON_KEYS = new Set(["ids", "edits"]);
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
    if (!(key in DEFAULTS)) continue;
    const kind = typeof DEFAULTS[key];
    if (JSON_KEYS.has(key)) {
      try {
        const value = JSON.parse(text);
        if (Array.isArray(value)) found[key] = value;
      } catch { /* left at its default */ }
    } else if (kind === "number") {
      if (Number.isFinite(Number(text))) found[key] = Number(text);
    } else found[key] = kind === "boolean" ? text === "true" : text;
  }
  return found;
}

export function restore() {
  set(read());
}

addEventListener("hashchange", () => { if (location.hash.slice(1) !== fragment()) restore(); });
