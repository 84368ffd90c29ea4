/** Measures one view: barcodes, sound pitch, and how far sound is behind picture. */

import { handedOverAtMs, meterContext, playerContext } from "../media/audio-context.ts";
import type { AudioTap, RemoteView } from "../types.ts";
import { BarcodeReader } from "./barcode.ts";
import { FlashAndBeep, RisingEdge } from "./flash.ts";
import { Meter, type Readings } from "./meter.ts";

const FFT_SIZE = 4096;
/** Spectrum peaks below this many dB are silence. */
const SILENCE_DB = -60;
const SOUND_POLL_MS = 100;

/** What is known about a view. */
export interface ViewMeasurements extends Readings {
  /** Time from the beginning of the join to the first picture, in milliseconds. */
  firstPictureMs: number | null;
  /** Glass-to-glass latency of the very first picture, in milliseconds; tells whether it was live. */
  firstLatencyMs: number | null;
  /** Pitch of the sound in hertz, while there is one. */
  pitchHz: number | null;
  /** Sound behind picture, one value per flash and beep, in milliseconds. */
  soundBehindMs: number[];
}

/** Attached to a view until it closes. */
export class ViewMeter {
  readonly #view: RemoteView;
  readonly #reader = new BarcodeReader();
  readonly #meter = new Meter();
  readonly #flashes = new FlashAndBeep();
  readonly #flashEdge = new RisingEdge(96, 160);
  readonly #joinedAtMs: number;
  readonly #poll: ReturnType<typeof setInterval>;
  #firstAtMs: number | null = null;
  #firstLatencyMs: number | null = null;
  #tap: AudioTap | null = null;
  #analyser: AnalyserNode | null = null;
  #beeps: AudioWorkletNode | null = null;
  #spectrum = new Float32Array(FFT_SIZE / 2);
  #pitchHz: number | null = null;
  #barcodes: boolean;

  /** `joinedAtMs` is when the join began, on `performance.now()`'s clock. Barcodes are read at every picture once one was seen. */
  constructor(view: RemoteView, joinedAtMs: number, expectBarcodes: boolean) {
    this.#view = view;
    this.#joinedAtMs = joinedAtMs;
    this.#barcodes = expectBarcodes;
    this.#poll = setInterval(() => this.#listen(), SOUND_POLL_MS);
    view.onPicture = (picture, width, height) => this.#look(picture, width, height);
  }

  measurements(): ViewMeasurements {
    return {
      ...this.#meter.readings(),
      firstPictureMs: this.#firstAtMs === null ? null : this.#firstAtMs - this.#joinedAtMs,
      firstLatencyMs: this.#firstLatencyMs,
      pitchHz: this.#pitchHz,
      soundBehindMs: this.#flashes.offsets(),
    };
  }

  /** Forgets readings, not the first picture. */
  reset(): void {
    this.#meter.reset();
    this.#flashes.reset();
    this.#pitchHz = null;
  }

  close(): void {
    clearInterval(this.#poll);
    this.#view.onPicture = null;
    this.#untap();
  }

  #look(picture: CanvasImageSource, width: number, height: number): void {
    const nowMs = performance.now();
    const epochMs = Date.now();
    if (width === 0 || height === 0) return;
    const first = this.#firstAtMs === null;
    this.#firstAtMs ??= nowMs;
    // A picture without a barcode is looked at now and then, in case one appears.
    if (!this.#barcodes && !first && this.#countdown-- > 0) return;
    this.#countdown = 15;
    const { number, flash } = this.#reader.read(picture, width, height);
    if (number !== null) this.#barcodes = true;
    if (!this.#barcodes) return;
    this.#meter.push(number, epochMs, nowMs);
    if (first) this.#firstLatencyMs = this.#meter.readings().latencies[0] ?? null;
    if (this.#flashEdge.push(flash)) this.#flashes.flash(nowMs);
  }

  #countdown = 0;

  #listen(): void {
    const tap = this.#view.audioTap();
    if (tap?.node !== this.#tap?.node) {
      this.#untap();
      this.#tap = tap;
      if (tap) void this.#attach(tap);
    }
    const analyser = this.#analyser;
    if (!analyser) return;
    analyser.getFloatFrequencyData(this.#spectrum);
    this.#pitchHz = pitch(this.#spectrum, analyser.context.sampleRate) ?? this.#pitchHz;
  }

  async #attach(tap: AudioTap): Promise<void> {
    const analyser = tap.context.createAnalyser();
    analyser.fftSize = FFT_SIZE;
    analyser.smoothingTimeConstant = 0;
    tap.node.connect(analyser);
    this.#analyser = analyser;
    const { worklet } = tap.context === playerContext().context ? playerContext() : meterContext();
    if (!(await worklet) || this.#tap !== tap) return;
    const beeps = new AudioWorkletNode(tap.context, "tombolo-beep", { numberOfOutputs: 0 });
    beeps.port.onmessage = ({ data }) => this.#flashes.beep(handedOverAtMs(tap.context, data));
    tap.node.connect(beeps);
    this.#beeps = beeps;
  }

  #untap(): void {
    if (this.#analyser) this.#tap?.node.disconnect(this.#analyser);
    if (this.#beeps) {
      this.#beeps.port.postMessage("close");
      this.#tap?.node.disconnect(this.#beeps);
    }
    this.#tap = null;
    this.#analyser = null;
    this.#beeps = null;
  }
}

/** The loudest frequency of a spectrum in dB, between its neighbours by a parabola; `null` in silence. */
export function pitch(spectrum: ArrayLike<number>, sampleRateHz: number): number | null {
  let peak = 2;
  for (let i = 3; i < spectrum.length - 1; i++) if ((spectrum[i] ?? -Infinity) > (spectrum[peak] ?? -Infinity)) peak = i;
  const [left = 0, middle = 0, right = 0] = [spectrum[peak - 1], spectrum[peak], spectrum[peak + 1]];
  if (!(middle > SILENCE_DB)) return null;
  const bend = left - 2 * middle + right;
  const shift = Number.isFinite(bend) && bend < 0 ? (0.5 * (left - right)) / bend : 0;
  return ((peak + shift) * sampleRateHz) / (2 * spectrum.length);
}
