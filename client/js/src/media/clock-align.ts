/**
 * Puts the timestamps of a capture source on the page's clock.
 *
 * Browsers stamp sound and picture from different origins. The quickest delivery of the last seconds tells the distance between a
 * source's clock and ours; slower deliveries are our own delay and do not move the timestamps.
 */
export class ClockAlign {
  static readonly #WINDOW_US = 5_000_000;
  #current = Number.POSITIVE_INFINITY;
  #previous = Number.POSITIVE_INFINITY;
  #windowStartUs: number | null = null;
  #lastUs = -1;

  /** Learns that data whose last sample is stamped `endUs` was delivered at `nowUs`. */
  observe(endUs: number, nowUs: number): void {
    this.#windowStartUs ??= nowUs;
    if (nowUs - this.#windowStartUs > ClockAlign.#WINDOW_US) {
      this.#previous = this.#current;
      this.#current = Number.POSITIVE_INFINITY;
      this.#windowStartUs = nowUs;
    }
    this.#current = Math.min(this.#current, nowUs - endUs);
  }

  /** `timestampUs` on our clock, whole microseconds, never going back. */
  map(timestampUs: number): number {
    const offset = Math.min(this.#current, this.#previous);
    const mapped = Math.max(0, Math.round(timestampUs + (Number.isFinite(offset) ? offset : 0)));
    this.#lastUs = Math.max(this.#lastUs + 1, mapped);
    return this.#lastUs;
  }
}
