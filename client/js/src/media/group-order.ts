/** Hands out the frames of numbered groups in order, as they come, and stops waiting for what does not come. */
export class GroupOrder<T> {
  /** The group whose frames are handed out at once. */
  #current: number | null = null;
  /** Later groups, which wait for the current one. */
  readonly #held = new Map<number, { frames: T[]; atMs: number }>();
  /** Groups, current or later, that are complete. */
  readonly #ended = new Set<number>();
  readonly #patienceMs: number;
  readonly #capacity: number;
  #holding = 0;
  /** Groups handed out, and groups of which something is missing. */
  seen = 0;
  missing = 0;

  /** Waits at most `patienceMs` for the current group once a later one has begun, and holds at most `capacity` frames meanwhile. */
  constructor(patienceMs: number, capacity = 64) {
    this.#patienceMs = patienceMs;
    this.#capacity = capacity;
  }

  /** Takes a frame of group `sequence`; returns what is now in order. Frames of groups that are over are dropped. */
  push(sequence: number, frame: T, nowMs: number): T[] {
    this.#current ??= sequence;
    if (sequence < this.#current) return [];
    if (sequence === this.#current) return [frame, ...this.#giveUp(nowMs)];
    const held = this.#held.get(sequence) ?? { frames: [], atMs: nowMs };
    held.frames.push(frame);
    this.#held.set(sequence, held);
    this.#holding += 1;
    return this.#giveUp(nowMs);
  }

  /** Group `sequence` is complete; returns what is now in order. */
  end(sequence: number, nowMs: number): T[] {
    this.#current ??= sequence;
    if (sequence < this.#current) return [];
    this.#ended.add(sequence);
    return [...this.#advance(), ...this.#giveUp(nowMs)];
  }

  /** Goes on after complete groups. */
  #advance(): T[] {
    const ready: T[] = [];
    while (this.#current !== null && this.#ended.delete(this.#current)) {
      this.seen += 1;
      ready.push(...this.#enter(this.#current + 1));
    }
    return ready;
  }

  /** Leaves groups that have been waited for long enough. */
  #giveUp(nowMs: number): T[] {
    const ready: T[] = [];
    while (this.#held.size > 0) {
      const oldest = Math.min(...this.#held.keys());
      const waitedMs = nowMs - (this.#held.get(oldest)?.atMs ?? nowMs);
      if (waitedMs < this.#patienceMs && this.#holding <= this.#capacity) break;
      this.missing += oldest - (this.#current ?? oldest);
      for (const sequence of this.#ended) if (sequence < oldest) this.#ended.delete(sequence);
      ready.push(...this.#enter(oldest), ...this.#advance());
    }
    return ready;
  }

  #enter(sequence: number): T[] {
    this.#current = sequence;
    const frames = this.#held.get(sequence)?.frames ?? [];
    this.#held.delete(sequence);
    this.#holding -= frames.length;
    return frames;
  }
}
