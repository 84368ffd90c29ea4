/** Raw pictures and sound of a track: by a track processor where the browser has one, else through an element and the worklet. */

import { handedOverAtMs, meterContext, playerContext, SAMPLE_RATE_HZ } from "./audio-context.ts";

/** Raw data with the time of delivery on `performance.now()`'s clock left to the reader. */
export interface Capture<T> {
  /** Ends when the track ends or the capture is stopped. */
  read(): Promise<T | undefined>;
  stop(): void;
}

/** Pictures waiting to be encoded; more are dropped, oldest first. */
const MOST_QUEUED = 2;
/** Sound chunks of 10 ms waiting to be encoded; after a longer stall live sound matters more than all of it. */
const MOST_QUEUED_SOUND = 20;

/** The pictures of `track`. The reader closes each frame. */
export function capturePictures(track: MediaStreamTrack): Capture<VideoFrame> {
  if (typeof MediaStreamTrackProcessor !== "undefined") {
    return processor<VideoFrame>(new MediaStreamTrackProcessor({ track: track as MediaStreamVideoTrack }).readable);
  }
  const queue = new CaptureQueue<VideoFrame>(MOST_QUEUED);
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = new MediaStream([track]);
  const next = () => {
    if (queue.stopped) return;
    queue.push(new VideoFrame(video, { timestamp: Math.round(performance.now() * 1000) }));
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
  // A muted element may always play.
  void video.play();
  queue.onStop = () => {
    video.srcObject = null;
  };
  return queue;
}

/** The sound of `track`. The reader closes each chunk. */
export function captureSound(track: MediaStreamTrack): Capture<AudioData> {
  if (typeof MediaStreamTrackProcessor !== "undefined") {
    const resampled = resample(track);
    const read = resampled?.track ?? (track as MediaStreamAudioTrack);
    const capture = processor<AudioData>(new MediaStreamTrackProcessor({ track: read, maxBufferSize: MOST_QUEUED_SOUND }).readable);
    return { read: capture.read, stop: () => (capture.stop(), resampled?.stop()) };
  }
  const queue = new CaptureQueue<AudioData>(MOST_QUEUED_SOUND);
  const { context, worklet } = meterContext();
  void worklet.then((loaded) => {
    if (!loaded || queue.stopped) return;
    const source = context.createMediaStreamSource(new MediaStream([track]));
    const node = new AudioWorkletNode(context, "tombolo-capture", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => queue.push(audioData(context, data));
    source.connect(node);
    queue.onStop = () => {
      node.port.postMessage("close");
      source.disconnect();
    };
  });
  return queue;
}

/**
 * The sound of `track` at the rate of Opus, when it has another. Chromium's encoder would resample it as well, but make packets
 * that come 10 ms early or late by turns, for which each listener would wait.
 */
function resample(track: MediaStreamTrack): { track: MediaStreamAudioTrack; stop(): void } | null {
  const rate = track.getSettings().sampleRate;
  if (rate === undefined || rate === SAMPLE_RATE_HZ) return null;
  const { context } = playerContext();
  const source = context.createMediaStreamSource(new MediaStream([track]));
  const destination = context.createMediaStreamDestination();
  source.connect(destination);
  const [resampled] = destination.stream.getAudioTracks();
  return { track: resampled as MediaStreamAudioTrack, stop: () => source.disconnect() };
}

function audioData(context: AudioContext, data: { contextTime: number; rateHz: number; channels: Float32Array[] }): AudioData {
  const frames = data.channels[0]?.length ?? 0;
  const samples = new Float32Array(frames * data.channels.length);
  data.channels.forEach((channel, i) => samples.set(channel, i * frames));
  return new AudioData({
    format: "f32-planar",
    sampleRate: data.rateHz,
    numberOfFrames: frames,
    numberOfChannels: data.channels.length,
    timestamp: Math.round(handedOverAtMs(context, data.contextTime) * 1000),
    data: samples,
  });
}

function processor<T>(readable: ReadableStream<T>): Capture<T> {
  const reader = readable.getReader();
  return {
    read: () => reader.read().then(({ value }) => value, () => undefined),
    // Cancelling a stream that has already failed changes nothing.
    stop: () => void reader.cancel().catch(() => undefined),
  };
}

/** A short queue between a callback and a reader. */
class CaptureQueue<T extends { close(): void }> implements Capture<T> {
  onStop: (() => void) | null = null;
  stopped = false;
  readonly #limit: number;
  readonly #items: T[] = [];
  #wake: (() => void) | null = null;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(item: T): void {
    this.#items.push(item);
    if (this.#items.length > this.#limit) this.#items.shift()?.close();
    this.#wake?.();
  }

  async read(): Promise<T | undefined> {
    while (this.#items.length === 0 && !this.stopped) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#items.shift();
  }

  stop(): void {
    this.stopped = true;
    for (const item of this.#items.splice(0)) item.close();
    this.onStop?.();
    this.#wake?.();
  }
}
