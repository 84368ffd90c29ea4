/** Plays one Opus (or other) track through the audio worklet, and is the clock that pictures follow. */

import { handedOverAtMs, playerContext } from "./audio-context.ts";
import type { AudioRendition } from "./catalog.ts";
import type { MediaFrame } from "./legacy.ts";
import type { PcmStatus } from "./pcm-queue.ts";

/** A report of the worklet older than this is no clock any more. */
const CLOCK_VALID_MS = 300;

/** Decodes and plays. */
export class AudioPlayer {
  readonly context: AudioContext;
  /** The player's output, for meters; it is heard unless {@link setAudible} says no. */
  readonly output: GainNode;
  readonly #speaker: GainNode;
  readonly #decoder: AudioDecoder;
  #node: AudioWorkletNode | null = null;
  #status: (PcmStatus & { contextTime: number; atMs: number }) | null = null;
  #closed = false;

  constructor(rendition: AudioRendition) {
    const { context, worklet } = playerContext();
    this.context = context;
    this.output = context.createGain();
    this.#speaker = context.createGain();
    this.#speaker.connect(context.destination);
    this.output.connect(this.#speaker);
    this.#decoder = new AudioDecoder({ output: (data) => this.#play(data), error: () => this.close() });
    this.#decoder.configure({
      codec: rendition.codec,
      sampleRate: rendition.sampleRate,
      numberOfChannels: rendition.channels,
      description: rendition.description,
    });
    void worklet.then((loaded) => {
      if (loaded && !this.#closed) this.#start();
    });
  }

  /** Decodes a frame; frames come in order. */
  push(frame: MediaFrame): void {
    if (this.#decoder.state !== "configured") return;
    this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: frame.timestampUs, data: frame.data }));
  }

  /** Media time in microseconds that is handed to the sound device at `nowMs`, or `null` while nothing plays. */
  mediaUsAt(nowMs: number): number | null {
    const status = this.#status;
    if (!status || status.mediaUs === null || nowMs - status.atMs > CLOCK_VALID_MS) return null;
    return status.mediaUs + (nowMs - handedOverAtMs(this.context, status.contextTime)) * 1000;
  }

  /** Queue level and underruns, for the figures. */
  status(): PcmStatus | null {
    return this.#status;
  }

  /** Lets the speaker play it or not; meters hear it either way. */
  setAudible(audible: boolean): void {
    this.#speaker.gain.value = audible ? 1 : 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#decoder.state !== "closed") this.#decoder.close();
    this.#node?.port.postMessage("close");
    this.#node?.disconnect();
    this.output.disconnect();
    this.#speaker.disconnect();
  }

  #start(): void {
    this.#node = new AudioWorkletNode(this.context, "tombolo-player", { numberOfInputs: 0, outputChannelCount: [2] });
    this.#node.port.onmessage = ({ data }) => {
      this.#status = { ...data, atMs: performance.now() };
    };
    this.#node.connect(this.output);
  }

  #play(data: AudioData): void {
    const channels = Array.from({ length: Math.min(2, data.numberOfChannels) }, (_, planeIndex) => {
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex, format: "f32-planar" });
      return samples;
    });
    // Copied, not transferred: Firefox ESR 153 hangs when buffers are transferred to an audio worklet.
    this.#node?.port.postMessage({ timestampUs: data.timestamp, rateHz: data.sampleRate, channels });
    data.close();
  }
}
