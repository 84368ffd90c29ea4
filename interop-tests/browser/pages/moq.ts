// The unmodified clients of npm, @moq/publish and @moq/watch, on one page: only their surroundings are measured.
import "@moq/publish/element";
import "@moq/watch/element";
import { BarcodeReader } from "../../../client/js/src/measure/barcode.ts";
import { Meter, type Readings } from "../../../client/js/src/measure/meter.ts";
import { pitch } from "../../../client/js/src/measure/view-meter.ts";
import { testPicture } from "../../../client/js/src/source.ts";

declare global {
  interface Window {
    moq: {
      publish(url: string, name: string): void;
      watch(url: string, name: string): void;
      report(): Readings & { pitchHz: number | null };
      reset(): void;
    };
  }
}

// The camera of this page is the test picture.
navigator.mediaDevices.getUserMedia = async ({ audio, video }: MediaStreamConstraints = {}) => {
  const { stream } = testPicture();
  return new MediaStream([...(video ? stream.getVideoTracks() : []), ...(audio ? stream.getAudioTracks() : [])]);
};

// What goes to the speaker is heard by an analyser too.
let analyser: AnalyserNode | null = null;
const connect = AudioNode.prototype.connect as (this: AudioNode, ...args: unknown[]) => unknown;
AudioNode.prototype.connect = function (this: AudioNode, ...args: unknown[]) {
  if (args[0] === this.context.destination && this.context instanceof AudioContext) {
    analyser = this.context.createAnalyser();
    analyser.fftSize = 4096;
    connect.call(this, analyser);
  }
  return connect.apply(this, args);
} as typeof AudioNode.prototype.connect;

const meter = new Meter();
let reader: BarcodeReader | null = null;
let pitchHz: number | null = null;

function look(canvas: HTMLCanvasElement): void {
  requestAnimationFrame(() => look(canvas));
  if (canvas.width < 64) return;
  reader ??= new BarcodeReader();
  const { number } = reader.read(canvas, canvas.width, canvas.height);
  // The canvas is empty until the first picture.
  if (number !== null || meter.readings().distinct > 0) meter.push(number, Date.now(), performance.now());
}

window.moq = {
  publish(url, name) {
    const element = document.createElement("moq-publish");
    element.setAttribute("url", url);
    element.setAttribute("name", name);
    element.setAttribute("source", "camera");
    element.append(Object.assign(document.createElement("video"), { muted: true, autoplay: true }));
    document.body.append(element);
    // Without a fixed bitrate this version changes its encoder and catalog many times a second.
    (element as unknown as { broadcast: { video: { hd: { config: { set(value: object): void } } } } }).broadcast.video.hd.config.set({ maxBitrate: 1_000_000 });
  },
  watch(url, name) {
    const element = document.createElement("moq-watch");
    element.setAttribute("url", url);
    element.setAttribute("name", name);
    element.setAttribute("visible", "always");
    const canvas = document.createElement("canvas");
    element.append(canvas);
    document.body.append(element);
    look(canvas);
    setInterval(() => {
      if (!analyser) return;
      const spectrum = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(spectrum);
      pitchHz = pitch(spectrum, analyser.context.sampleRate) ?? pitchHz;
    }, 100);
  },
  report: () => ({ ...meter.readings(), pitchHz }),
  reset: () => meter.reset(),
};
