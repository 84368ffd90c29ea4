/** Sums up what the barcode readings of one view say. */

import { difference } from "./barcode.ts";

/** Latencies kept for percentiles; older ones go. */
const KEPT = 4096;
/** A number that differs from the clock by more than this is a frame count, not a clock. */
const CLOCK_WINDOW_MS = 60_000;

/** A longer time without a new picture is a freeze. */
const FREEZE_MS = 250;
/** Freezes kept; older ones go. */
const KEPT_FREEZES = 64;

/** What a {@link Meter} found. */
export interface Readings {
  /** Pictures read with a right checksum whose number was new. */
  distinct: number;
  /** Pictures that could not be read. */
  wrong: number;
  /** Pictures older than the one before. */
  outOfOrder: number;
  /** Glass-to-glass latencies in milliseconds, oldest first; empty where the numbers are no clock. */
  latencies: number[];
  /** The longest time between two new pictures, in milliseconds. */
  longestGapMs: number;
  /** Times without a new picture that a viewer notices: how long, and when the next picture came (Unix epoch, milliseconds). */
  freezes: { ms: number; endedAtEpochMs: number }[];
  /** Time of the newest picture on `performance.now()`'s clock. */
  lastAt: number | null;
}

/** Collects barcode readings in the order in which pictures were shown. */
export class Meter {
  #last: number | null = null;
  #readings: Readings = emptyReadings();

  /** Takes one reading: `number` as read, `epochMs` and `nowMs` the moment it was shown on the wall clock and the page's clock. */
  push(number: number | null, epochMs: number, nowMs: number): void {
    const readings = this.#readings;
    if (number === null) {
      readings.wrong += 1;
      return;
    }
    const step = this.#last === null ? 1 : difference(number, this.#last);
    if (step === 0) return;
    if (step < 0) readings.outOfOrder += 1;
    this.#last = number;
    readings.distinct += 1;
    if (readings.lastAt !== null) {
      const ms = nowMs - readings.lastAt;
      readings.longestGapMs = Math.max(readings.longestGapMs, ms);
      if (ms > FREEZE_MS) readings.freezes.push({ ms, endedAtEpochMs: epochMs });
      if (readings.freezes.length > KEPT_FREEZES) readings.freezes.shift();
    }
    readings.lastAt = nowMs;
    const latency = difference(Math.floor(epochMs), number);
    if (Math.abs(latency) < CLOCK_WINDOW_MS) {
      readings.latencies.push(latency);
      if (readings.latencies.length > KEPT) readings.latencies.shift();
    }
  }

  /** What was found so far. */
  readings(): Readings {
    return { ...this.#readings, latencies: [...this.#readings.latencies], freezes: [...this.#readings.freezes] };
  }

  /** Forgets everything but the order. */
  reset(): void {
    this.#readings = emptyReadings();
  }
}

function emptyReadings(): Readings {
  return { distinct: 0, wrong: 0, outOfOrder: 0, latencies: [], longestGapMs: 0, freezes: [], lastAt: null };
}

/** The `p` (0 to 1) percentile of `values` by nearest rank, or `null` of nothing. */
export function percentile(values: readonly number[], p: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] ?? null;
}
