/** Encodes a sound track as Opus for a broadcast, while somebody subscribes to it. */

import { SAMPLE_RATE_HZ } from "./audio-context.ts";
import { type Capture, captureSound } from "./capture.ts";
import { ClockAlign } from "./clock-align.ts";
import { encodeFrame } from "./legacy.ts";
import { TrackFanout } from "./track-fanout.ts";

const FRAME_US = 20_000;
/** Each group is a stream. One for every frame would cost both ends, and Firefox above all, more than the sound itself. */
const GROUP_US = 100_000;
/** Sound that the browser dropped before it came here is replaced by silence, once this much is missing. */
const HOLE_US = 15_000;
const MOST_SILENCE_US = 1_000_000;
const BITRATE_BPS = 64_000;

/** What is being encoded. */
export interface AudioFormat {
  codec: string;
  sampleRate: number;
  channels: number;
  bitrateBps: number;
}

/** Encodes sound of one track. */
export class AudioPublisher {
  readonly fanout = new TrackFanout(80, GROUP_US, () => undefined);
  readonly #capture: Capture<AudioData>;
  readonly #align = new ClockAlign();
  readonly #encoder: AudioEncoder;
  readonly #onFormat: (format: AudioFormat) => void;
  #config: AudioEncoderConfig | null = null;
  /** Where the sound given to the encoder ends. Encoders count samples, so that a hole would shift all that follows. */
  #endUs: number | null = null;
  /** Bytes encoded so far. */
  bytes = 0;

  /** Calls `onFormat` when the first sound is seen, `onError` when the encoder gives up. */
  constructor(track: MediaStreamTrack, onFormat: (format: AudioFormat) => void, onError: (message: string) => void) {
    this.#onFormat = onFormat;
    this.#encoder = new AudioEncoder({
      output: (chunk) => this.#write(chunk),
      error: (error) => onError(error.message),
    });
    this.#capture = captureSound(track);
    void this.#run();
  }

  close(): void {
    this.#capture.stop();
    if (this.#encoder.state !== "closed") this.#encoder.close();
    this.fanout.close();
  }

  async #run(): Promise<void> {
    for (let data = await this.#capture.read(); data; data = await this.#capture.read()) {
      this.#encode(data);
      data.close();
    }
  }

  #encode(data: AudioData): void {
    this.#align.observe(data.timestamp + data.duration, performance.now() * 1000);
    if (this.#encoder.state === "closed") return;
    if (!this.#config) this.#configure(data);
    const holeUs = this.#endUs === null ? 0 : data.timestamp - this.#endUs;
    if (holeUs > MOST_SILENCE_US) this.#restart();
    if (!this.fanout.wanted) return;
    if (this.#endUs !== null && holeUs > HOLE_US) this.#encodeSilence(data, holeUs);
    this.#encoder.encode(data);
    this.#endUs = (this.#endUs ?? data.timestamp) + data.duration;
  }

  /** Begins to count anew, after a time in which nothing was encoded. */
  #restart(): void {
    this.#endUs = null;
    this.#encoder.reset();
    if (this.#config) this.#encoder.configure(this.#config);
  }

  #encodeSilence(like: AudioData, lengthUs: number): void {
    const numberOfFrames = Math.round((lengthUs / 1e6) * like.sampleRate);
    const timestamp = this.#endUs ?? like.timestamp;
    const { sampleRate, numberOfChannels } = like;
    const samples = new Float32Array(numberOfFrames * numberOfChannels);
    const silence = new AudioData({ format: "f32-planar", sampleRate, numberOfFrames, numberOfChannels, timestamp, data: samples });
    this.#encoder.encode(silence);
    this.#endUs = timestamp + silence.duration;
    silence.close();
  }

  #configure(data: AudioData): void {
    const channels = Math.min(2, data.numberOfChannels);
    this.#config = {
      codec: "opus",
      sampleRate: data.sampleRate,
      numberOfChannels: channels,
      bitrate: BITRATE_BPS,
      opus: { frameDuration: FRAME_US },
    };
    this.#encoder.configure(this.#config);
    this.#onFormat({ codec: "opus", sampleRate: SAMPLE_RATE_HZ, channels, bitrateBps: BITRATE_BPS });
  }

  #write(chunk: EncodedAudioChunk): void {
    const timestampUs = this.#align.map(chunk.timestamp);
    this.bytes += chunk.byteLength;
    this.fanout.write(encodeFrame(timestampUs, chunk), timestampUs, true);
  }
}
