// Small helpers for elements, numbers and tokens.

export const $ = (id) => document.getElementById(id);

/** An element with attributes, listeners ("onclick": f) and children. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A number with few digits, none of them wasted. */
export function shown(value, digits = 3) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : value.toFixed(size >= 100 ? 1 : digits);
  return text.replace("-", "−");
}

export function percent(share) {
  const value = 100 * share;
  if (value >= 99.95 && share < 1) return ">99.9 %";
  if (value !== 0 && value < 0.001) return "<0.001 %";
  return `${value.toFixed(value >= 10 || value === 0 ? 1 : value >= 0.1 ? 2 : 3)} %`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) [count, unit] = [count / 1000, unit + 1];
  return `${count.toFixed(unit && count < 100 ? 1 : 0)} ${units[unit]}`;
}

/** A token as it is read in lists: the space before it and line ends made visible. */
export function visible(text) {
  return text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "·");
}

export function tokenElement(text, attributes = {}) {
  const parts = visible(text).split(/([·⏎⇥]+)/).filter(Boolean);
  const marked = parts.map((part) => (/^[·⏎⇥]/.test(part) ? h("i", {}, part) : part));
  return h("span", { class: "token", ...attributes }, ...(marked.length ? marked : ["∅"]));
}

/** A row of buttons of which one is chosen; arrow keys move along. */
export function choice(label, options, value, change) {
  const group = h("span", { class: "choice", role: "radiogroup", "aria-label": label });
  fillChoice(group, options, value, change);
  return group;
}

export function fillChoice(group, options, value, change) {
  const focused = group.contains(document.activeElement);
  group.replaceChildren(...options.map(([key, text]) => h("button", {
    type: "button", role: "radio", "aria-checked": String(key === value), tabindex: key === value ? 0 : -1, "data-key": key,
    onclick: () => change(key),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const place = options.findIndex(([each]) => each === value);
      const wanted = options[(place + step + options.length) % options.length][0];
      change(wanted);
      group.querySelector(`[data-key="${wanted}"]`)?.focus();
    },
  }, text)));
  if (focused) group.querySelector("[aria-checked=true]")?.focus();
}

let toastTimer = 0;
export function toast(text) {
  const box = $("toast");
  box.textContent = text;
  box.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => box.classList.remove("shown"), 2200);
}

export function tip(event, text) {
  const box = $("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  const { width, height } = box.getBoundingClientRect();
  box.style.left = `${Math.min(event.clientX + 14, innerWidth - width - 8)}px`;
  box.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 18}px`;
}

export async function copyText(text, what) {
  await navigator.clipboard.writeText(text);
  toast(`${what} copied`);
}
