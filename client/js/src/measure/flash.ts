/** Pairs flashes of a picture with beeps of its sound. */

/** Rises of a level that goes from clearly low to clearly high. */
export class RisingEdge {
  #high = true;
  readonly #low: number;
  readonly #up: number;

  constructor(low: number, up: number) {
    this.#low = low;
    this.#up = up;
  }

  /** Whether `level` is the beginning of a high time. */
  push(level: number): boolean {
    if (level < this.#low) this.#high = false;
    if (level <= this.#up || this.#high) return false;
    this.#high = true;
    return true;
  }
}

/** Times further apart than this are not the same event. */
const PAIR_WINDOW_MS = 400;
const KEPT = 512;

/** Collects the times of flashes and beeps on one clock and tells how far sound is behind picture. */
export class FlashAndBeep {
  #flashes: number[] = [];
  #beeps: number[] = [];
  readonly #offsets: number[] = [];

  flash(atMs: number): void {
    this.#flashes.push(atMs);
    this.#pair();
  }

  beep(atMs: number): void {
    this.#beeps.push(atMs);
    this.#pair();
  }

  /** Sound behind picture in milliseconds, one per event; negative where the sound came first. */
  offsets(): number[] {
    return [...this.#offsets];
  }

  /** Forgets the offsets. */
  reset(): void {
    this.#offsets.length = 0;
  }

  #pair(): void {
    for (;;) {
      const flash = this.#flashes[0];
      const beep = this.#beeps[0];
      if (flash === undefined || beep === undefined) break;
      if (Math.abs(beep - flash) <= PAIR_WINDOW_MS) {
        this.#offsets.push(beep - flash);
        this.#flashes.shift();
        this.#beeps.shift();
      } else if (beep < flash) this.#beeps.shift();
      else this.#flashes.shift();
    }
    for (const kept of [this.#flashes, this.#beeps, this.#offsets]) if (kept.length > KEPT) kept.shift();
  }
}
