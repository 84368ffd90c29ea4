/** One participant's place in the grid. */

import { percentile } from "../measure/meter.ts";
import { ViewMeter } from "../measure/view-meter.ts";
import type { RemoteView, ViewFigures } from "../types.ts";

/** Latencies that the shown median is taken from: the last two seconds. */
const SHOWN_LATENCIES = 60;

/** Shows a view with its name and figures. */
export class Tile {
  readonly element = document.createElement("figure");
  readonly meter: ViewMeter | null;
  readonly view: RemoteView | null;
  readonly #numbers = line("numbers");
  readonly #via = document.createElement("span");
  readonly #note = line("note");

  /** `media` is what to show; `view` is the remote participant behind it, or `null` for one's own picture. */
  constructor(name: string, media: HTMLElement, view: RemoteView | null, joinedAtMs: number, expectBarcodes: boolean) {
    this.view = view;
    this.meter = view ? new ViewMeter(view, joinedAtMs, expectBarcodes) : null;
    this.element.className = "tile";
    const stage = line("stage");
    stage.append(media);
    const caption = document.createElement("figcaption");
    const who = line("who");
    const label = document.createElement("span");
    label.textContent = name;
    this.#via.className = "via";
    who.append(label, this.#via);
    caption.append(who, this.#numbers, this.#note);
    this.element.append(stage, caption);
    media.setAttribute("aria-label", `Picture of ${name}`);
  }

  /** How the participant is connected. */
  set via(text: string) {
    this.#via.textContent = text;
  }

  /** Something that the user should know about this participant. */
  set note(text: string) {
    this.#note.textContent = text;
  }

  /** Shows the latest figures; returns what was measured. */
  async refresh(): Promise<ViewFigures | null> {
    if (!this.view || !this.meter) return null;
    const figures = await this.view.figures();
    const { latencies } = this.meter.measurements();
    const latency = percentile(latencies.slice(-SHOWN_LATENCIES), 0.5);
    this.numbers = [
      figures.width ? `${figures.width}×${figures.height}` : "",
      figures.framesPerSecond === null ? "" : `${figures.framesPerSecond.toFixed(0)} fps`,
      figures.bitrateBps === null ? "" : kilobits(figures.bitrateBps),
      figures.loss === null ? "" : `${(figures.loss * 100).toFixed(1)} % lost`,
      figures.codec ?? "",
      latency === null ? "" : `${latency} ms glass to glass`,
    ];
    return figures;
  }

  set numbers(parts: string[]) {
    this.#numbers.textContent = parts.filter(Boolean).join(" · ");
  }

  close(): void {
    this.meter?.close();
    this.element.remove();
  }
}

/** A bitrate for people. */
export function kilobits(bitsPerSecond: number): string {
  return bitsPerSecond >= 1e6 ? `${(bitsPerSecond / 1e6).toFixed(1)} Mb/s` : `${Math.round(bitsPerSecond / 1000)} kb/s`;
}

function line(className: string): HTMLDivElement {
  const element = document.createElement("div");
  element.className = className;
  return element;
}
