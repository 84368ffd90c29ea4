import { LeastDelay } from "./least-delay.ts";

const WINDOW_MS = 5000;

/** Puts the timestamps of a capture source on the page's clock: browsers stamp sound and picture from different origins. */
export class ClockAlign {
  readonly #distance = new LeastDelay(WINDOW_MS);
  #lastUs = -1;

  /** Learns that data whose last sample is stamped `endUs` was delivered at `nowUs`. */
  observe(endUs: number, nowUs: number): void {
    this.#distance.observe(endUs / 1000, nowUs / 1000);
  }

  /** `timestampUs` on our clock, whole microseconds, never going back. */
  map(timestampUs: number): number {
    const mapped = Math.max(0, Math.round(timestampUs + (this.#distance.delayMs ?? 0) * 1000));
    this.#lastUs = Math.max(this.#lastUs + 1, mapped);
    return this.#lastUs;
  }
}
