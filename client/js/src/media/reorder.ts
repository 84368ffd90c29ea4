/** Puts things that carry a sequence number back in order, and stops waiting for what does not come. */
export class Reorder<T> {
  #next: number | null = null;
  readonly #held = new Map<number, { value: T; atMs: number }>();
  readonly #patienceMs: number;
  readonly #capacity: number;
  /** Sequence numbers that were given up. */
  missing = 0;

  /** Waits at most `patienceMs` for a missing number, and holds at most `capacity` things meanwhile. */
  constructor(patienceMs: number, capacity = 64) {
    this.#patienceMs = patienceMs;
    this.#capacity = capacity;
  }

  /** Takes `value` with number `sequence`; returns what is now in order. Old and repeated numbers are dropped. */
  push(sequence: number, value: T, nowMs: number): T[] {
    if (this.#next === null) this.#next = sequence;
    if (sequence < this.#next || this.#held.has(sequence)) return [];
    this.#held.set(sequence, { value, atMs: nowMs });
    return this.poll(nowMs);
  }

  /** What has waited long enough. */
  poll(nowMs: number): T[] {
    const ready: T[] = [];
    while (this.#held.size > 0) {
      const next = this.#next ?? 0;
      const item = this.#held.get(next);
      if (item) {
        ready.push(item.value);
        this.#held.delete(next);
        this.#next = next + 1;
        continue;
      }
      const oldest = Math.min(...this.#held.keys());
      const waited = nowMs - (this.#held.get(oldest)?.atMs ?? nowMs);
      if (waited < this.#patienceMs && this.#held.size < this.#capacity) break;
      this.missing += oldest - next;
      this.#next = oldest;
    }
    return ready;
  }

  /** Milliseconds until {@link poll} may return something, or `null` when nothing is held. */
  waitMs(nowMs: number): number | null {
    if (this.#held.size === 0) return null;
    const oldest = Math.min(...[...this.#held.values()].map((item) => item.atMs));
    return Math.max(0, oldest + this.#patienceMs - nowMs);
  }
}
