/**
 * The distance between two clocks, told by the quickest delivery of the last seconds.
 *
 * What is stamped by one clock and delivered on another is late by the distance of the clocks and a delay that varies. The least
 * sum of a window is nearest to the distance; slower deliveries are delays, and do not move it.
 */
export class LeastDelay {
  readonly #windowMs: number;
  /** Sums that are least of all that came after them, so that the first is the least of the window. */
  #candidates: { atMs: number; delayMs: number }[] = [];

  /** Believes a path that becomes slower after `windowMs` milliseconds. */
  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Learns that what is stamped `sourceMs` was delivered at `nowMs`. */
  observe(sourceMs: number, nowMs: number): void {
    const delayMs = nowMs - sourceMs;
    while (this.#candidates.length > 0 && (this.#candidates.at(-1)?.delayMs ?? 0) >= delayMs) this.#candidates.pop();
    this.#candidates.push({ atMs: nowMs, delayMs });
    while ((this.#candidates[0]?.atMs ?? nowMs) < nowMs - this.#windowMs) this.#candidates.shift();
  }

  /** What to add to a time of the source to have it on our clock, in milliseconds; `null` before the first delivery. */
  get delayMs(): number | null {
    return this.#candidates[0]?.delayMs ?? null;
  }

  /** Forgets everything. */
  reset(): void {
    this.#candidates = [];
  }
}
