// Canvases: sharp at any density, and grids of cells that a pointer and the arrow keys move over.

import { h, tip } from "./dom.js";
import { diverging, palette, sequence } from "./color.js";

/** Size a canvas in CSS pixels and return its context, scaled to them. */
export function prepare(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return context;
}

export const MONO = '11px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';

/** Values [rows, columns] as a small canvas of one pixel each; t maps a value to 0..1, or -1..1 with signs. */
export function picture(data, rows, columns, t, signed = false, offset = 0) {
  const canvas = h("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const color = signed ? diverging : sequence;
  for (let i = 0; i < rows * columns; i++) {
    const value = data[offset + i];
    if (Number.isNaN(value) || value === -Infinity) continue;
    const rgb = color(t(value));
    image.data.set([rgb[0], rgb[1], rgb[2], 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draw a picture without smoothing. */
export function stamp(context, image, x, y, width, height) {
  context.imageSmoothingEnabled = false;
  context.drawImage(image, x, y, width, height);
}

/**
 * A canvas of cells. `layout()` gives {x, y, cell: [width, height], rows, columns}; `describe(row, column)` a text;
 * `hover` and `pick` are told of cells. Arrow keys move a cursor, Enter and space pick.
 */
export class Grid {
  constructor({ label, describe, hover = () => {}, pick = () => {}, draw }) {
    this.canvas = h("canvas", { tabindex: 0, role: "img", "aria-roledescription": "grid, arrow keys move" });
    Object.assign(this, { label, describe, hover, pick, draw, cursor: null, place: null });
    this.canvas.setAttribute("aria-label", label);
    this.canvas.addEventListener("pointermove", (event) => this.moved(event));
    this.canvas.addEventListener("pointerleave", () => { tip(null, ""); this.hover(null); });
    this.canvas.addEventListener("click", (event) => this.clicked(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("focus", () => { this.cursor ??= [0, 0]; this.redraw(); });
    this.canvas.addEventListener("blur", () => { this.redraw(); tip(null, ""); });
  }

  /** Take the size and the place of the cells, and draw. */
  show(width, height, place) {
    Object.assign(this, { width, height, place });
    if (this.cursor) this.cursor = [Math.min(this.cursor[0], place.rows - 1), Math.min(this.cursor[1], place.columns - 1)];
    this.redraw();
  }

  redraw() {
    if (!this.place) return;
    const context = prepare(this.canvas, this.width, this.height);
    this.draw(context, this.place);
    if (this.cursor && document.activeElement === this.canvas) this.outline(context, this.cursor, palette().ink, 2);
  }

  outline(context, [row, column], color, width = 2) {
    const { x, y, cell } = this.place;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.strokeRect(x + column * cell[0] + 0.5, y + row * cell[1] + 0.5, cell[0] - 1, cell[1] - 1);
  }

  at(event) {
    if (!this.place) return null;
    const { x, y, cell, rows, columns } = this.place;
    const column = Math.floor((event.offsetX - x) / cell[0]);
    const row = Math.floor((event.offsetY - y) / cell[1]);
    return row >= 0 && row < rows && column >= 0 && column < columns ? [row, column] : null;
  }

  moved(event) {
    const cell = this.at(event);
    const text = cell && this.describe(...cell);
    tip(event, text ?? "");
    this.hover(text === null ? null : cell);
  }

  clicked(event) {
    const cell = this.at(event);
    if (!cell) return;
    this.cursor = cell;
    this.pick(...cell, event);
    this.redraw();
  }

  key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const { rows, columns } = this.place ?? { rows: 0, columns: 0 };
    if (!rows) return;
    this.cursor ??= [0, 0];
    if (step) {
      event.preventDefault();
      const wanted = this.cursor.map((value, axis) => value + step[axis]);
      this.cursor = [Math.max(0, Math.min(rows - 1, wanted[0])), Math.max(0, Math.min(columns - 1, wanted[1]))];
      this.hover(this.cursor);
      this.canvas.setAttribute("aria-label", `${this.label}: ${this.describe(...this.cursor) ?? "nothing"}`);
      this.redraw();
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.pick(...this.cursor, event);
      this.redraw();
    }
  }
}
