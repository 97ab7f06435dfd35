// Colours of numbers, from the page's own few.

let cached = null;

const parse = (text) => {
  const hex = text.trim().slice(1);
  return [0, 2, 4].map((place) => parseInt(hex.slice(place, place + 2), 16));
};

export function palette() {
  if (cached) return cached;
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "card", "ink", "faint", "line", "soft", "accent", "accent-soft", "negative", "cut"];
  const colors = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  const dark = document.documentElement.dataset.theme === "dark";
  cached = { ...colors, dark, sequence: ramp(parse(colors.card), parse(colors.accent), dark),
    negative_ramp: ramp(parse(colors.card), parse(colors.negative), dark) };
  return cached;
}

export function forget() {
  cached = null;
}

/** 256 steps from the paper to a colour and a little beyond, so that the greatest values stand out. */
function ramp(from, to, dark) {
  const end = to.map((part) => (dark ? part + (255 - part) * 0.35 : part * 0.62));
  return Array.from({ length: 256 }, (_, i) => {
    const t = i / 255;
    const [a, b, s] = t < 0.7 ? [from, to, t / 0.7] : [to, end, (t - 0.7) / 0.3];
    return a.map((part, k) => Math.round(part + (b[k] - part) * s));
  });
}

export const css = (rgb) => `rgb(${rgb[0]} ${rgb[1]} ${rgb[2]})`;

/** 0..1 -> colour; what is no number has none. */
export function sequence(t) {
  const colors = palette().sequence;
  return colors[Math.round(255 * Math.max(0, Math.min(1, t)))];
}

/** -1..1 -> colour. */
export function diverging(t) {
  const { sequence: positive, negative_ramp: negative } = palette();
  return (t < 0 ? negative : positive)[Math.round(255 * Math.max(0, Math.min(1, Math.abs(t))))];
}

/** Ink that can be read on a colour. */
export function inkOn(rgb) {
  const light = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;
  return light > 0.56 ? "#16181d" : "#f6f7f9";
}
