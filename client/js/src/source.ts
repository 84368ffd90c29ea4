/** What a page can publish: camera and microphone, or a test picture whose age and sound can be measured. */

import { clockNumber, draw, FLASH_COLUMN, FLASH_ROW, GRID_COLUMNS, GRID_ROWS } from "./measure/barcode.ts";
import { SAMPLE_RATE_HZ } from "./media/audio-context.ts";
import { SessionError } from "./types.ts";

/** Something that makes a media stream until it is stopped. */
export interface Source {
  readonly stream: MediaStream;
  stop(): void;
}

/** How the test picture looks and sounds. */
export interface TestPicture {
  width?: number;
  height?: number;
  framerate?: number;
  /** Pitch of the tone in hertz; default 1000. */
  toneHz?: number;
  /** Beep once a second, with a flash, instead of a steady tone. */
  flash?: boolean;
}

const FLASH_PERIOD_MS = 1000;
const FLASH_MS = 120;

/** Camera and microphone; either may be missing, but not both. */
export async function camera(): Promise<Source> {
  if (!navigator.mediaDevices) {
    throw new SessionError({
      code: "insecure",
      message: "Browsers give the camera only to pages opened as https:// or from this machine (http://127.0.0.1).",
      fatal: true,
    });
  }
  const video = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 30 } };
  const audio = { sampleRate: { ideal: SAMPLE_RATE_HZ } };
  const stream = await navigator.mediaDevices.getUserMedia({ video, audio }).catch(async (error: DOMException) => {
    if (error.name !== "NotFoundError") throw new SessionError(deviceProblem(error));
    const fallback = navigator.mediaDevices.getUserMedia({ video }).catch(() => navigator.mediaDevices.getUserMedia({ audio }));
    return fallback.catch((last: DOMException) => {
      throw new SessionError(deviceProblem(last));
    });
  });
  return { stream, stop: () => stream.getTracks().forEach((track) => track.stop()) };
}

function deviceProblem(error: DOMException): { code: string; message: string; fatal: boolean } {
  const messages: Record<string, string> = {
    NotAllowedError: "The browser was not allowed to use the camera. Allow it by the icon in the address bar, then join again.",
    NotFoundError: "No camera or microphone was found. Connect one, or publish the test picture.",
    NotReadableError: "The camera is in use by another program. Close that, then join again.",
  };
  return { code: "camera", message: messages[error.name] ?? `The camera cannot be used: ${error.message}`, fatal: true };
}

/** A moving picture with a barcode of the clock, and a tone. */
export function testPicture(options: TestPicture = {}): Source {
  const { width = 640, height = 360, framerate = 30, toneHz = 1000, flash = false } = options;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { alpha: false });
  if (!context) throw new Error("no 2D canvas in this browser");
  const tone = new Tone(toneHz, flash);
  let flashUntil = 0;
  let nextFlash = performance.now() + FLASH_PERIOD_MS;
  const paint = () => {
    const now = performance.now();
    if (flash && now >= nextFlash) {
      nextFlash = Math.max(nextFlash + FLASH_PERIOD_MS, now);
      flashUntil = now + FLASH_MS;
      tone.beep(FLASH_MS / 1000);
    }
    drawScene(context, now, now < flashUntil);
    draw(context, width, height, clockNumber());
  };
  paint();
  const picture = canvas.captureStream();
  const stopTimer = steadyTimer(1000 / framerate, paint);
  const stream = new MediaStream([...picture.getVideoTracks(), ...tone.stream.getAudioTracks()]);
  return {
    stream,
    stop: () => {
      stopTimer();
      tone.stop();
      for (const track of stream.getTracks()) track.stop();
    },
  };
}

/** Stripes that move, so that an encoder has work, and the flash square. */
function drawScene(context: CanvasRenderingContext2D, nowMs: number, flash: boolean): void {
  const { width, height } = context.canvas;
  context.fillStyle = "#1d3557";
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#e9c46a";
  const step = width / 8;
  for (let x = -step + ((nowMs / 12) % step); x < width; x += step) context.fillRect(x, height * 0.5, step / 2, height * 0.5);
  context.fillStyle = "#2a9d8f";
  const angle = nowMs / 700;
  context.beginPath();
  context.arc(width * 0.25 + Math.cos(angle) * width * 0.12, height * 0.74, height * 0.12, 0, 2 * Math.PI);
  context.fill();
  const w = width / GRID_COLUMNS;
  const h = height / GRID_ROWS;
  context.fillStyle = flash ? "#fff" : "#000";
  context.fillRect((FLASH_COLUMN - 1) * w, (FLASH_ROW - 1) * h, 3 * w, 3 * h);
}

/** A tone in a media stream, steady or in beeps. */
class Tone {
  readonly #context = new AudioContext({ latencyHint: "interactive", sampleRate: SAMPLE_RATE_HZ });
  readonly #gain: GainNode;
  readonly #oscillator: OscillatorNode;
  readonly stream: MediaStream;

  constructor(hertz: number, silent: boolean) {
    this.#gain = this.#context.createGain();
    this.#gain.gain.value = silent ? 0 : 0.5;
    this.#oscillator = this.#context.createOscillator();
    this.#oscillator.frequency.value = hertz;
    const destination = this.#context.createMediaStreamDestination();
    this.#oscillator.connect(this.#gain).connect(destination);
    this.#oscillator.start();
    this.stream = destination.stream;
    // Without a click the context may stay silent; the picture goes on.
    this.#context.resume().catch(() => undefined);
  }

  beep(seconds: number): void {
    const now = this.#context.currentTime;
    this.#gain.gain.setValueAtTime(0.5, now);
    this.#gain.gain.setValueAtTime(0, now + seconds);
  }

  stop(): void {
    this.#oscillator.stop();
    void this.#context.close();
  }
}

/** Calls `tick` every `periodMs`, also in a page that is not in front, where browsers slow ordinary timers down. */
function steadyTimer(periodMs: number, tick: () => void): () => void {
  const code = `let due = performance.now(); (function tick() { postMessage(0); due += ${periodMs}; setTimeout(tick, Math.max(0, due - performance.now())); })();`;
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.onmessage = tick;
  return () => {
    worker.terminate();
    URL.revokeObjectURL(url);
  };
}
