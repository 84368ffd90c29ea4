/** Encodes a video track for a broadcast, while somebody subscribes to it. */

import { type Capture, capturePictures } from "./capture.ts";
import { ClockAlign } from "./clock-align.ts";
import { encodeFrame } from "./legacy.ts";
import { TrackFanout } from "./track-fanout.ts";

/** A keyframe is made this often, since a subscriber may come to the gateway at any time. */
const KEYFRAME_INTERVAL_MS = 2000;
/** Requests within this time of a keyframe are answered by it. */
const KEYFRAME_MIN_INTERVAL_MS = 100;
/** Pictures that wait in the encoder; more are dropped rather than delayed. */
const MOST_ENCODING = 2;
/** Bits per pixel and picture at 30 pictures a second; enough for a talking head. */
const BITS_PER_PIXEL = 0.14;
const FRAMERATE = 30;
const LEAST_BPS = 300_000;
const MOST_BPS = 4_000_000;

/** What is being encoded. */
export interface VideoFormat {
  codec: string;
  width: number;
  height: number;
  framerate: number;
  bitrateBps: number;
}

/** Encodes pictures of one track. */
export class VideoPublisher {
  readonly fanout: TrackFanout;
  readonly #capture: Capture<VideoFrame>;
  readonly #codec: "vp8" | "h264";
  readonly #align = new ClockAlign();
  readonly #encoder: VideoEncoder;
  readonly #onFormat: (format: VideoFormat) => void;
  #format: VideoFormat | null = null;
  #keyframeAsked = true;
  #lastKeyframeMs = Number.NEGATIVE_INFINITY;
  /** Pictures and bytes encoded so far. */
  frames = 0;
  bytes = 0;

  /** Calls `onFormat` when the first picture is seen and when the size changes, `onError` when the encoder gives up. */
  constructor(
    track: MediaStreamTrack,
    codec: "vp8" | "h264",
    onFormat: (format: VideoFormat) => void,
    onError: (message: string) => void,
  ) {
    this.#codec = codec;
    this.#onFormat = onFormat;
    this.fanout = new TrackFanout(60, 0, (wanted) => {
      if (wanted) this.requestKeyframe();
    });
    this.#encoder = new VideoEncoder({
      output: (chunk) => this.#write(chunk),
      error: (error) => onError(error.message),
    });
    this.#capture = capturePictures(track);
    void this.#run();
  }

  /** Makes the next picture a keyframe. */
  requestKeyframe(): void {
    this.#keyframeAsked = true;
  }

  close(): void {
    this.#capture.stop();
    if (this.#encoder.state !== "closed") this.#encoder.close();
    this.fanout.close();
  }

  async #run(): Promise<void> {
    for (let frame = await this.#capture.read(); frame; frame = await this.#capture.read()) {
      this.#encode(frame);
      frame.close();
    }
  }

  #encode(frame: VideoFrame): void {
    const now = performance.now();
    this.#align.observe(frame.timestamp, now * 1000);
    if (this.#encoder.state === "closed") return;
    if (frame.displayWidth !== this.#format?.width || frame.displayHeight !== this.#format.height) this.#configure(frame);
    if (!this.fanout.wanted || this.#encoder.encodeQueueSize >= MOST_ENCODING) return;
    const sinceKeyframe = now - this.#lastKeyframeMs;
    const keyFrame = sinceKeyframe >= KEYFRAME_INTERVAL_MS || (this.#keyframeAsked && sinceKeyframe >= KEYFRAME_MIN_INTERVAL_MS);
    if (keyFrame) {
      this.#keyframeAsked = false;
      this.#lastKeyframeMs = now;
    }
    this.#encoder.encode(frame, { keyFrame });
  }

  #configure(frame: VideoFrame): void {
    const { displayWidth: width, displayHeight: height } = frame;
    const bitrateBps = Math.round(Math.min(MOST_BPS, Math.max(LEAST_BPS, width * height * FRAMERATE * BITS_PER_PIXEL)));
    const codec = this.#codec === "vp8" ? "vp8" : width * height <= 1280 * 720 ? "avc1.42e01f" : "avc1.42e028";
    this.#format = { codec, width, height, framerate: FRAMERATE, bitrateBps };
    this.#encoder.configure({
      codec,
      width,
      height,
      bitrate: bitrateBps,
      framerate: FRAMERATE,
      latencyMode: "realtime",
      ...(this.#codec === "h264" && { avc: { format: "annexb" as const } }),
    });
    this.#keyframeAsked = true;
    this.#onFormat(this.#format);
  }

  #write(chunk: EncodedVideoChunk): void {
    const timestampUs = this.#align.map(chunk.timestamp);
    this.frames += 1;
    this.bytes += chunk.byteLength;
    this.fanout.write(encodeFrame(timestampUs, chunk), timestampUs, chunk.type === "key");
  }
}
