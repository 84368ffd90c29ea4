/** Decodes one video track onto a canvas: the newest live picture, in step with the sound, never an old one. */

import type { VideoRendition } from "./catalog.ts";
import type { MediaFrame } from "./legacy.ts";
import { LiveEdge } from "./live-edge.ts";

/**
 * Sound may be behind picture by this much before pictures wait for it: people do not notice it (ITU-R BT.1359 says up to
 * 125 ms), and waiting costs latency. Both are taken where they leave the page; screen and loudspeaker add about the same.
 */
const SOUND_LAG_MS = 40;
/** Pictures never wait longer than this for the sound. */
const MOST_WAIT_MS = 150;

/** Decoded pictures that may wait for the sound; decoders have few buffers. */
const MOST_QUEUED = 6;

/**
 * A decoder that leaves a picture waiting for longer, with so many behind it, does not keep up. It goes on, but at the next keyframe
 * it is emptied: one busy moment would leave everything late for good.
 */
const SLOW_MS = 400;
const LEAST_UNDECODED = 4;
/** With a picture waiting for longer than this it is given nothing more before the next keyframe. */
const MOST_UNDECODED_MS = 1500;

/** What the player asks of its surroundings. */
export interface VideoPlayerHooks {
  /** Media time of the sound that leaves the page at `nowMs`, in microseconds; `null` where there is no sound. */
  soundUsAt(nowMs: number): number | null;
  /** A picture is on the canvas. */
  shown(): void;
  /**
   * A keyframe would help, since the decoder does not keep up; `lost` is true when nothing more can be shown without one. Called with
   * every picture for as long as that is so.
   */
  wantsKeyframe(lost: boolean): void;
}

/** Decodes and draws. */
export class VideoPlayer {
  readonly canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #hooks: VideoPlayerHooks;
  readonly #config: VideoDecoderConfig;
  #decoder: VideoDecoder;
  readonly #edge = new LiveEdge();
  #needsKeyframe = true;
  #started = false;
  #closed = false;
  readonly #queue: { frame: VideoFrame; decodedAtMs: number }[] = [];
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(canvas: HTMLCanvasElement, rendition: VideoRendition, hooks: VideoPlayerHooks) {
    const context = canvas.getContext("2d", { alpha: false });
    if (!context) throw new Error("no 2D canvas in this browser");
    this.canvas = canvas;
    this.#context = context;
    this.#hooks = hooks;
    this.#config = { codec: rendition.codec, description: rendition.description, optimizeForLatency: true };
    this.#decoder = this.#newDecoder();
  }

  /** Decodes a frame; `keyframe` is true for the first of a group. */
  push(frame: MediaFrame, keyframe: boolean): void {
    if (this.#closed) return;
    const now = performance.now();
    const waitingMs = this.#waitingMs(now);
    if (keyframe) {
      if (waitingMs > SLOW_MS || this.#decoder.state === "closed") this.#emptyDecoder();
      this.#needsKeyframe = false;
    } else {
      this.#needsKeyframe ||= waitingMs > MOST_UNDECODED_MS;
      if (this.#needsKeyframe || waitingMs > SLOW_MS) this.#hooks.wantsKeyframe(this.#needsKeyframe);
      if (this.#needsKeyframe) return;
    }
    this.#edge.arrive(frame.timestampUs / 1000, now);
    this.#decoder.decode(
      new EncodedVideoChunk({ type: keyframe ? "key" : "delta", timestamp: frame.timestampUs, data: frame.data }),
    );
  }

  close(): void {
    this.#closed = true;
    if (this.#decoder.state !== "closed") this.#decoder.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#queue.splice(0).forEach(({ frame }) => frame.close());
  }

  #newDecoder(): VideoDecoder {
    const decoder = new VideoDecoder({
      output: (frame) => this.#decoded(frame),
      error: () => {
        this.#needsKeyframe = true;
        this.#hooks.wantsKeyframe(true);
      },
    });
    decoder.configure(this.#config);
    return decoder;
  }

  /** Throws away what waits for the decoder; a decoder that has failed is replaced. */
  #emptyDecoder(): void {
    this.#started = false;
    this.#edge.skip();
    if (this.#decoder.state === "closed") {
      this.#decoder = this.#newDecoder();
    } else {
      this.#decoder.reset();
      this.#decoder.configure(this.#config);
    }
  }

  /** How long the decoder has left a picture waiting, if that says that it is slow. */
  #waitingMs(nowMs: number): number {
    // The first picture of a decoder says how long it takes to start, not how fast it is.
    return this.#started && this.#decoder.decodeQueueSize >= LEAST_UNDECODED ? this.#edge.undecodedMs(nowMs) : 0;
  }

  #decoded(frame: VideoFrame): void {
    const now = performance.now();
    this.#started = true;
    const isStale = this.#edge.isStale(frame.timestamp / 1000, now);
    this.#edge.decoded(frame.timestamp / 1000);
    if (isStale) {
      frame.close();
      return;
    }
    // While it is not clear where the live edge is, only the newest picture is a candidate.
    if (this.#edge.holdMs(now) > 0 || this.#queue.length >= MOST_QUEUED) this.#queue.splice(0).forEach((old) => old.frame.close());
    this.#queue.push({ frame, decodedAtMs: now });
    this.#showDue();
  }

  /** Shows the newest picture whose time has come, drops those before it, and sets the timer for the next. */
  #showDue(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const now = performance.now();
    let due: VideoFrame | null = null;
    for (let head = this.#queue[0]; head; head = this.#queue[0]) {
      const patience = head.decodedAtMs + MOST_WAIT_MS - now;
      const wait = Math.max(this.#edge.holdMs(now), Math.min(patience, this.#waitForSound(head.frame.timestamp, now)));
      if (wait >= 2) {
        this.#timer = setTimeout(() => this.#showDue(), wait);
        break;
      }
      due?.close();
      due = head.frame;
      this.#queue.shift();
    }
    if (due) this.#show(due);
  }

  #waitForSound(timestampUs: number, nowMs: number): number {
    const heard = this.#hooks.soundUsAt(nowMs);
    if (heard === null) return 0;
    const aheadMs = (timestampUs - heard) / 1000 - SOUND_LAG_MS;
    return aheadMs > 1000 ? 0 : Math.max(0, aheadMs);
  }

  #show(frame: VideoFrame): void {
    const { displayWidth, displayHeight } = frame;
    if (this.canvas.width !== displayWidth || this.canvas.height !== displayHeight) {
      this.canvas.width = displayWidth;
      this.canvas.height = displayHeight;
    }
    this.#context.drawImage(frame, 0, 0, displayWidth, displayHeight);
    frame.close();
    this.#hooks.shown();
  }
}
