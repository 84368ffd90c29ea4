/** Encodes a sound track as Opus for a broadcast, while somebody subscribes to it. */

import { type Capture, captureSound } from "./capture.ts";
import { ClockAlign } from "./clock-align.ts";
import { encodeFrame } from "./legacy.ts";
import { TrackFanout } from "./track-fanout.ts";

const FRAME_US = 20_000;
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
  readonly fanout = new TrackFanout(80, () => undefined);
  readonly #capture: Capture<AudioData>;
  readonly #align = new ClockAlign();
  readonly #encoder: AudioEncoder;
  readonly #onFormat: (format: AudioFormat) => void;
  #configured = false;
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
    if (!this.#configured) this.#configure(data);
    if (this.fanout.wanted) this.#encoder.encode(data);
  }

  #configure(data: AudioData): void {
    this.#configured = true;
    const channels = Math.min(2, data.numberOfChannels);
    this.#encoder.configure({
      codec: "opus",
      sampleRate: data.sampleRate,
      numberOfChannels: channels,
      bitrate: BITRATE_BPS,
      opus: { frameDuration: FRAME_US },
    });
    this.#onFormat({ codec: "opus", sampleRate: 48_000, channels, bitrateBps: BITRATE_BPS });
  }

  #write(chunk: EncodedAudioChunk): void {
    const timestampUs = this.#align.map(chunk.timestamp);
    this.bytes += chunk.byteLength;
    this.fanout.write(encodeFrame(timestampUs, chunk), timestampUs, true);
    }
}
