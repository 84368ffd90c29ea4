/**
 * Tells live pictures from those that are only needed to catch up.
 *
 * A joiner, or a viewer whose network was away, gets pictures faster than they were made. They must all be decoded, but showing
 * them would show the past as if it were now. Two clocks tell: the publisher's media clock and our arrival clock.
 */

import { LeastDelay } from "./least-delay.ts";

/** A picture further behind the edge than this is not shown when a newer one is on its way. */
const STALE_MS = 120;
/** How long a first picture waits for a sign that more follow at once. */
const SETTLE_MS = 25;
/** After this long without settling, pictures are shown whatever the clocks say. */
const SETTLE_LIMIT_MS = 2500;
/** The edge is the least delay of this window, so that a path that becomes slower is believed after it. */
const WINDOW_MS = 3000;
/** Pictures between arrival and decoding that are remembered. */
const ARRIVED = 256;
/** A media clock that jumps by more than this has been restarted. */
const JUMP_MS = 10_000;

/** Follows the live edge of one track. Times are in milliseconds. */
export class LiveEdge {
  readonly #distance = new LeastDelay(WINDOW_MS);
  readonly #arrivals = new Map<number, number>();
  #lastMediaMs: number | null = null;
  #lastArrivalMs = 0;
  #firstArrivalMs: number | null = null;
  #settled = false;

  /** Takes note of a picture that has arrived. */
  arrive(mediaMs: number, nowMs: number): void {
    if (this.#lastMediaMs !== null && Math.abs(mediaMs - this.#lastMediaMs) > JUMP_MS) this.reset();
    this.#firstArrivalMs ??= nowMs;
    if (!this.#settled && this.#lastMediaMs !== null && mediaMs > this.#lastMediaMs) {
      const mediaStep = mediaMs - this.#lastMediaMs;
      const arrivalStep = nowMs - this.#lastArrivalMs;
      this.#settled = arrivalStep >= 0.6 * mediaStep;
    }
    this.#lastMediaMs = this.#lastMediaMs === null ? mediaMs : Math.max(mediaMs, this.#lastMediaMs);
    this.#lastArrivalMs = nowMs;
    this.#arrivals.set(mediaMs, nowMs);
    for (const oldest of this.#arrivals.keys()) {
      if (this.#arrivals.size <= ARRIVED) break;
      this.#arrivals.delete(oldest);
    }
    this.#distance.observe(mediaMs, nowMs);
  }

  /** Takes note that a picture has been decoded. */
  decoded(mediaMs: number): void {
    if (!this.#arrivals.has(mediaMs)) return;
    // Decoders keep the order: what came before this one and was not decoded never will be, such as pictures that are not shown.
    for (const earlier of this.#arrivals.keys()) {
      this.#arrivals.delete(earlier);
      if (earlier === mediaMs) break;
    }
  }

  /** How long the oldest picture that is not decoded yet has been waiting for that; 0 when there is none. */
  undecodedMs(nowMs: number): number {
    for (const arrivedMs of this.#arrivals.values()) return nowMs - arrivedMs;
    return 0;
  }

  /** How far `mediaMs` is behind the quickest picture of the last seconds. */
  behindMs(mediaMs: number, nowMs: number): number {
    return nowMs - mediaMs - (this.#distance.delayMs ?? nowMs - mediaMs);
  }

  /**
   * Whether a picture that is decoded now should be thrown away because newer ones follow at once. It came late, then: one that the
   * decoder is slow with is the newest that can be shown.
   */
  isStale(mediaMs: number, nowMs: number): boolean {
    const newerArrived = this.#lastMediaMs !== null && this.#lastMediaMs > mediaMs;
    const arrivedMs = this.#arrivals.get(mediaMs) ?? nowMs;
    return newerArrived && (!this.#settled || this.behindMs(mediaMs, arrivedMs) > STALE_MS);
  }

  /** How long to hold a decoded picture to see whether a newer one follows at once. */
  holdMs(nowMs: number): number {
    if (this.#settled || nowMs - (this.#firstArrivalMs ?? nowMs) > SETTLE_LIMIT_MS) return 0;
    return Math.max(0, this.#lastArrivalMs + SETTLE_MS - nowMs);
  }

  /** Forgets what waits for the decoder, which has been emptied. */
  skip(): void {
    this.#arrivals.clear();
  }

  /** Forgets everything, as after a new subscription. */
  reset(): void {
    this.#distance.reset();
    this.#arrivals.clear();
    this.#lastMediaMs = null;
    this.#firstArrivalMs = null;
    this.#settled = false;
  }
}
