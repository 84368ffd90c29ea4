/**
 * The queue between an audio decoder and the sound card: a ring of samples with a small target that grows when it ran dry and
 * shrinks again in quiet times, and a read speed within 1.5 % of real time that pulls the level to the target.
 */

/** Where the queue stands. */
export interface PcmStatus {
  /** Media time of the next sample to be heard, in microseconds; `null` while nothing plays. */
  mediaUs: number | null;
  /** Queued sound in milliseconds. */
  levelMs: number;
  targetMs: number;
  /** Times the queue ran dry. */
  underruns: number;
}

const CHANNELS = 2;
const CAPACITY_SECONDS = 1;
const START_TARGET_MS = 30;
const LEAST_TARGET_MS = 25;
const MOST_TARGET_MS = 160;
const UNDERRUN_STEP_MS = 15;
/** After this much sound the target is judged by the lowest level that was seen in it. */
const JUDGE_MS = 500;
/** The lowest level that is wanted: what is above it is delay without use. */
const MARGIN_MS = 8;
const SHRINK_MOST_MS = 10;
/** The first sound comes in bursts, while everything starts; running dry then says little of the network. */
const BEGINNING_MS = 1000;
/** More surplus than this is skipped at once rather than played faster. */
const SKIP_SURPLUS_MS = 80;
/** Timestamps that differ by less than this from the expected one are continuous. */
const CONTINUOUS_US = 5_000;
/** Longer holes are jumped over instead of being filled with silence. */
const FILL_US = 200_000;
/** The level swings by a chunk around its mean; within this distance of the target the speed is left alone. */
const CALM_ERROR_MS = 15;
const RATE_SPAN = 0.015;

/** A ring of stereo samples with media times. */
export class PcmQueue {
  readonly #outputRate: number;
  #rate = 48_000;
  #ring: Float32Array[];
  #capacity: number;
  /** Absolute index of the next sample to write; the index modulo the capacity is the place in the ring. */
  #write = 0;
  /** Absolute, fractional index of the next sample to read. */
  #read = 0;
  #anchor: { index: number; us: number } | null = null;
  #playing = false;
  #targetMs = START_TARGET_MS;
  #judgedMs = 0;
  #lowestMs = Number.POSITIVE_INFINITY;
  #playedMs = 0;
  #level = 0;
  #underruns = 0;

  /** `outputRateHz` is the rate at which samples are pulled. */
  constructor(outputRateHz: number) {
    this.#outputRate = outputRateHz;
    this.#capacity = this.#rate * CAPACITY_SECONDS;
    this.#ring = Array.from({ length: CHANNELS }, () => new Float32Array(this.#capacity));
  }

  /** Queues sound that begins at media time `timestampUs`. Mono is played on both sides; further channels are dropped. */
  push(timestampUs: number, rateHz: number, channels: Float32Array[]): void {
    if (rateHz !== this.#rate) this.#restart(rateHz);
    const frames = channels[0]?.length ?? 0;
    if (this.#anchor) {
      const gapUs = timestampUs - this.#mediaUsAt(this.#write);
      if (gapUs < -CONTINUOUS_US && gapUs > -FILL_US) return;
      if (gapUs > CONTINUOUS_US && gapUs <= FILL_US) this.#append(null, Math.round((gapUs / 1e6) * this.#rate));
    }
    this.#anchor = { index: this.#write, us: timestampUs };
    this.#append(channels, frames);
    const surplus = this.#levelMs() - this.#targetMs;
    if (surplus > SKIP_SURPLUS_MS) this.#read = this.#write - (this.#targetMs / 1000) * this.#rate;
  }

  /** Fills `output` (one array per channel, of equal length) with what is to be heard next. */
  pull(output: Float32Array[]): void {
    const frames = output[0]?.length ?? 0;
    if (!this.#playing && this.#levelMs() >= this.#targetMs) {
      this.#playing = true;
      this.#level = this.#levelMs();
    }
    const step = this.#playing ? this.#step() : 0;
    if (!this.#playing || this.#write - this.#read < frames * step + 1) {
      if (this.#playing) this.#runDry();
      for (const channel of output) channel.fill(0);
      return;
    }
    for (let i = 0; i < frames; i++) {
      const at = Math.floor(this.#read);
      const part = this.#read - at;
      output.forEach((channel, c) => {
        const ring = this.#ring[Math.min(c, CHANNELS - 1)] ?? channel;
        const a = ring[at % this.#capacity] ?? 0;
        const b = ring[(at + 1) % this.#capacity] ?? 0;
        channel[i] = a + (b - a) * part;
      });
      this.#read += step;
    }
    this.#settleTarget((frames / this.#outputRate) * 1000);
  }

  /** Where the queue stands now. */
  status(): PcmStatus {
    return {
      mediaUs: this.#playing && this.#anchor ? this.#mediaUsAt(this.#read) : null,
      levelMs: this.#levelMs(),
      targetMs: this.#targetMs,
      underruns: this.#underruns,
    };
  }

  /** Input samples per output sample: exactly the ratio of the rates while the level is near its target. */
  #step(): number {
    const ratio = this.#rate / this.#outputRate;
    this.#level += (this.#levelMs() - this.#level) * 0.02;
    const error = this.#level - this.#targetMs;
    if (Math.abs(error) < CALM_ERROR_MS) return ratio;
    return ratio * (1 + Math.max(-RATE_SPAN, Math.min(RATE_SPAN, error / 1500)));
  }

  #runDry(): void {
    this.#playing = false;
    this.#underruns += 1;
    this.#judgedMs = 0;
    this.#lowestMs = Number.POSITIVE_INFINITY;
    if (this.#playedMs > BEGINNING_MS) this.#targetMs = Math.min(MOST_TARGET_MS, this.#targetMs + UNDERRUN_STEP_MS);
  }

  #settleTarget(playedMs: number): void {
    this.#playedMs += playedMs;
    this.#judgedMs += playedMs;
    this.#lowestMs = Math.min(this.#lowestMs, this.#levelMs());
    if (this.#judgedMs < JUDGE_MS) return;
    const useless = Math.max(0, this.#lowestMs - MARGIN_MS);
    this.#targetMs = Math.max(LEAST_TARGET_MS, this.#targetMs - Math.min(SHRINK_MOST_MS, useless / 2));
    this.#judgedMs = 0;
    this.#lowestMs = Number.POSITIVE_INFINITY;
  }

  #append(channels: Float32Array[] | null, frames: number): void {
    for (let i = 0; i < frames; i++) {
      const place = (this.#write + i) % this.#capacity;
      this.#ring.forEach((ring, c) => {
        const source = channels?.[c] ?? channels?.[0];
        ring[place] = source?.[i] ?? 0;
      });
    }
    this.#write += frames;
    this.#read = Math.max(this.#read, this.#write - this.#capacity + 1);
  }

  #restart(rateHz: number): void {
    this.#rate = rateHz;
    this.#capacity = rateHz * CAPACITY_SECONDS;
    this.#ring = Array.from({ length: CHANNELS }, () => new Float32Array(this.#capacity));
    this.#write = 0;
    this.#read = 0;
    this.#anchor = null;
    this.#playing = false;
  }

  #levelMs(): number {
    return ((this.#write - this.#read) / this.#rate) * 1000;
  }

  #mediaUsAt(index: number): number {
    const anchor = this.#anchor ?? { index: 0, us: 0 };
    return anchor.us + ((index - anchor.index) / this.#rate) * 1e6;
  }
}
