/** The audio thread: plays decoded sound, notices beeps, captures sound where a browser has no track processor. */

import { PcmQueue } from "../media/pcm-queue.ts";
import { RisingEdge } from "../measure/flash.ts";

/** Render quanta between two reports: about 27 ms at 48 kHz. */
const REPORT_QUANTA = 10;

/** Plays what is posted as `{ timestampUs, rateHz, channels }` and reports the queue's status with the context time. */
class Player extends AudioWorkletProcessor {
  readonly #queue = new PcmQueue(sampleRate);
  #quanta = 0;
  #open = true;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data === "close") this.#open = false;
      else this.#queue.push(data.timestampUs, data.rateHz, data.channels);
    };
  }

  override process(_inputs: Float32Array[][], outputs: Float32Array[][]): boolean {
    const output = outputs[0];
    if (!output) return this.#open;
    if (this.#quanta++ % REPORT_QUANTA === 0) this.port.postMessage({ contextTime: currentTime, ...this.#queue.status() });
    this.#queue.pull(output);
    return this.#open;
  }
}

/** Posts the context time of each beginning of a sound after a silence. */
class BeepDetector extends AudioWorkletProcessor {
  readonly #edge = new RisingEdge(0.01, 0.05);
  #envelope = 0;
  #open = true;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.#open = false;
    };
  }

  override process(inputs: Float32Array[][]): boolean {
    const samples = inputs[0]?.[0];
    if (!samples) return this.#open;
    samples.forEach((sample, i) => {
      this.#envelope = Math.max(Math.abs(sample), this.#envelope * 0.995);
      if (this.#edge.push(this.#envelope)) this.port.postMessage(currentTime + i / sampleRate);
    });
    return this.#open;
  }
}

/** Posts what it hears, with the context time of the first sample. */
class Capture extends AudioWorkletProcessor {
  #open = true;

  constructor() {
    super();
    this.port.onmessage = () => {
      this.#open = false;
    };
  }

  override process(inputs: Float32Array[][]): boolean {
    const input = inputs[0];
    if (input && input.length > 0) {
      const channels = input.map((channel) => channel.slice());
      this.port.postMessage({ contextTime: currentTime, rateHz: sampleRate, channels });
    }
    return this.#open;
  }
}

registerProcessor("tombolo-player", Player);
registerProcessor("tombolo-beep", BeepDetector);
registerProcessor("tombolo-capture", Capture);
