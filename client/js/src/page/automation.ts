/**
 * `window.tombolo`: what a test or a script may ask of the page.
 *
 * - `join(options)`: joins with the given options over those of the form; settles when joined, rejects with the problem.
 * - `leave()`: leaves.
 * - `report()`: everything that is known now, as plain data (see {@link PageReport}).
 * - `reset()`: forgets the readings so far, so that a measurement can begin after a change.
 */

import type { ViewMeasurements } from "../measure/view-meter.ts";
import type { TestPicture } from "../source.ts";
import type { Participant, Problem, SessionFigures, SessionState, TransportKind, ViewFigures } from "../types.ts";

/** What can be chosen when joining. */
export interface PageJoin {
  name: string;
  mode: "watch" | "publish" | "both";
  source: "camera" | "barcode" | "flash";
  transport: TransportKind | "auto";
  codec?: "vp8" | "h264";
  /** How the test picture looks and sounds, where it should differ from the default. */
  picture?: TestPicture;
  /** Treat every picture as one with a barcode, so that a damaged first picture counts as wrong. */
  expectBarcodes?: boolean;
}

/** A remote participant as the page knows it. */
export interface TileReport extends ViewMeasurements {
  participant: string;
  figures: ViewFigures | null;
}

/** What {@link PageApi.report} tells. */
export interface PageReport {
  state: SessionState;
  transport: TransportKind | null;
  /** Time from the join to being let in, in milliseconds. */
  joinMs: number | null;
  participants: Participant[];
  tiles: TileReport[];
  figures: SessionFigures | null;
  /** Everything that went wrong since the join. */
  problems: Problem[];
}

/** The type of `window.tombolo`. */
export interface PageApi {
  join(options?: Partial<PageJoin>): Promise<void>;
  leave(): void;
  report(): PageReport;
  reset(): void;
}

declare global {
  interface Window {
    tombolo: PageApi;
  }
}
