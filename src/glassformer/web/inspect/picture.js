// A view as a picture: its elements and canvases drawn into one canvas, then copied or saved as PNG.

import { h, toast } from "./dom.js";

async function styles() {
  const texts = await Promise.all(["base.css", "panels.css"].map((name) => fetch(name).then((response) => response.text())));
  return texts.join("\n");
}

/** A clone in which canvases are images and fields show their values, with the colours of now. */
function frozen(element) {
  const clone = element.cloneNode(true);
  const canvases = [...element.querySelectorAll("canvas")];
  clone.querySelectorAll("canvas").forEach((canvas, place) => {
    const image = document.createElement("img");
    image.src = canvases[place].toDataURL("image/png");
    Object.assign(image.style, { width: canvases[place].style.width, height: canvases[place].style.height, display: "block" });
    if (canvas.hidden) image.hidden = true;
    canvas.replaceWith(image);
  });
  const fields = [...element.querySelectorAll("input, select")];
  clone.querySelectorAll("input, select").forEach((field, place) => {
    field.setAttribute("value", fields[place].value);
    if (fields[place].checked) field.setAttribute("checked", "");
  });
  return clone;
}

/** A canvas with what an element shows. */
export async function drawn(element) {
  const { width } = element.getBoundingClientRect();
  const height = element.scrollHeight + 2;
  const root = document.createElement("div");
  root.setAttribute("data-theme", document.documentElement.dataset.theme);
  root.append(frozen(element));
  const holder = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  holder.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  holder.setAttribute("width", width);
  holder.setAttribute("height", height);
  const foreign = document.createElementNS("http://www.w3.org/2000/svg", "foreignObject");
  foreign.setAttribute("width", "100%");
  foreign.setAttribute("height", "100%");
  const style = document.createElement("style");
  style.textContent = (await styles()).replaceAll(":root[data-theme=\"dark\"]", "[data-theme=\"dark\"]").replaceAll(":root", "svg") +
    "\nsvg { font: 14px/1.45 var(--sans); } div { color: var(--ink); }";
  foreign.append(style, root);
  holder.append(foreign);
  const text = new XMLSerializer().serializeToString(holder);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const ratio = devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.drawImage(image, 0, 0);
  return canvas;
}

/** A small button that copies a part of the page. */
export function pictureButton(element, title) {
  return h("button", { type: "button", class: "small", "aria-label": `Copy ${title} as PNG`, onclick: () => copyPicture(element, title) }, "PNG");
}

export async function copyPicture(element, title) {
  try {
    const canvas = await drawn(element);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
    try {
      await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
      toast(`${title} copied as PNG`);
    } catch {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${title.toLowerCase().replaceAll(" ", "-")}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      toast(`${title} saved as PNG`);
    }
  } catch (error) {
    toast("this browser does not draw the view as a picture");
    console.warn(error);
  }
}
