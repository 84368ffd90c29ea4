/** The page's audio contexts, with the worklet loaded. One for playing decoded sound, one for measuring what a stream carries. */

import { LeastDelay } from "./least-delay.ts";

/** The rate at which Opus is coded. */
export const SAMPLE_RATE_HZ = 48_000;

interface Loaded {
  context: AudioContext;
  worklet: Promise<boolean>;
}

let player: Loaded | null = null;
let meter: Loaded | null = null;

/** Where the worklet file lies; the page serves it beside itself. */
export let workletUrl = new URL("audio-worklet.js", import.meta.url).href;

/** Tells where the worklet file lies, when it is not beside the script. */
export function setWorkletUrl(url: string): void {
  workletUrl = url;
}

/** The context in which decoded sound is played, at 48 kHz where the browser allows. */
export function playerContext(): Loaded {
  return (player ??= load(new AudioContext({ latencyHint: "interactive", sampleRate: SAMPLE_RATE_HZ })));
}

/** The context for measuring media streams: some browsers want it at the device's own rate. */
export function meterContext(): Loaded {
  return (meter ??= load(new AudioContext({ latencyHint: "interactive" })));
}

/** Lets sound play after a click or a key; browsers keep contexts silent before. */
export function resumeAudio(): void {
  for (const loaded of [player, meter]) {
    // A context that may not start yet stays suspended and is resumed by the next click.
    if (loaded?.context.state === "suspended") loaded.context.resume().catch(() => undefined);
  }
}

function load(context: AudioContext): Loaded {
  const worklet = context.audioWorklet
    ? context.audioWorklet.addModule(workletUrl).then(
        () => true,
        () => false,
      )
    : Promise.resolve(false);
  return { context, worklet };
}

/** How long a context's clock is believed against the page's; the two drift by microseconds a second. */
const CLOCK_WINDOW_MS = 4000;
const clocks = new WeakMap<BaseAudioContext, LeastDelay>();

/**
 * The time on `performance.now()`'s clock, in milliseconds, at which the sample of `contextTime` is handed to the device.
 *
 * Browsers offer `getOutputTimestamp()` and `outputLatency` for this. In Firefox (ESR 153) both ask the sound server while they
 * hold the lock of the audio graph; while a worklet runs, the graph waits for that lock, the sound server's thread for the graph,
 * and the page hangs for good. `currentTime` asks nobody, and its quickest reading of some seconds is as exact.
 */
export function handedOverAtMs(context: BaseAudioContext, contextTime: number): number {
  const clock = clocks.get(context) ?? new LeastDelay(CLOCK_WINDOW_MS);
  clocks.set(context, clock);
  const nowMs = performance.now();
  clock.observe(context.currentTime * 1000, nowMs);
  return contextTime * 1000 + (clock.delayMs ?? 0);
}
