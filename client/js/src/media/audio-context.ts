/** The page's audio contexts, with the worklet loaded. One for playing decoded sound, one for measuring what a stream carries. */

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
  return (player ??= load(new AudioContext({ latencyHint: "interactive", sampleRate: 48_000 })));
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

/** The time on `performance.now()`'s clock, in milliseconds, at which the context's `contextTime` is heard. */
export function heardAtMs(context: AudioContext, contextTime: number): number {
  const stamp = context.getOutputTimestamp();
  if (stamp.contextTime && stamp.performanceTime) {
    return stamp.performanceTime + (contextTime - stamp.contextTime) * 1000;
  }
  return performance.now() + (contextTime - context.currentTime + (context.outputLatency || 0)) * 1000;
}

/** The time on `performance.now()`'s clock, in milliseconds, at which the sample of `contextTime` is handed to the device. */
export function handedOverAtMs(context: AudioContext, contextTime: number): number {
  return heardAtMs(context, contextTime) - (context.outputLatency || 0) * 1000;
}
