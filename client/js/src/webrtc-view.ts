/** Shows one participant's WebRTC tracks in a video element. */

import { meterContext } from "./media/audio-context.ts";
import type { AudioTap, Kind, RemoteView, ViewFigures } from "./types.ts";

/** A view of up to one picture and one sound track. */
export class WebRtcView implements RemoteView {
  readonly participant: string;
  readonly element = document.createElement("video");
  onPicture: RemoteView["onPicture"] = null;
  readonly #stream = new MediaStream();
  readonly #receivers = new Map<Kind, RTCRtpReceiver>();
  #tap: { context: AudioContext; node: AudioNode; track: MediaStreamTrack } | null = null;
  #frames = 0;
  #closed = false;
  #last: { atMs: number; bytes: number; lost: number; packets: number; frames: number } | null = null;

  constructor(participant: string) {
    this.participant = participant;
    this.element.autoplay = true;
    this.element.playsInline = true;
    this.element.srcObject = this.#stream;
    this.#watchPictures();
  }

  /** Puts a received track in, in place of the one of the same kind. */
  setReceiver(kind: Kind, receiver: RTCRtpReceiver | null): void {
    const old = this.#receivers.get(kind);
    if (old === (receiver ?? undefined)) return;
    if (old) this.#stream.removeTrack(old.track);
    if (receiver) {
      this.#receivers.set(kind, receiver);
      this.#stream.addTrack(receiver.track);
    } else this.#receivers.delete(kind);
    if (kind === "audio") this.#tap = null;
    void this.#play();
  }

  /** Whether nothing is left to show. */
  get empty(): boolean {
    return this.#receivers.size === 0;
  }

  audioTap(): AudioTap | null {
    const track = this.#receivers.get("audio")?.track;
    if (!track) return null;
    if (this.#tap?.track !== track) {
      const { context } = meterContext();
      this.#tap = { context, track, node: context.createMediaStreamSource(new MediaStream([track])) };
    }
    return this.#tap;
  }

  setMuted(muted: boolean): void {
    this.element.muted = muted;
  }

  async figures(): Promise<ViewFigures> {
    let bytes = 0;
    let lost = 0;
    let packets = 0;
    const codecs: string[] = [];
    for (const kind of ["video", "audio"] as const) {
      const report = await this.#receivers.get(kind)?.getStats();
      for (const entry of report?.values() ?? []) {
        if (entry.type !== "inbound-rtp") continue;
        bytes += entry.bytesReceived ?? 0;
        lost += Math.max(0, entry.packetsLost ?? 0);
        packets += entry.packetsReceived ?? 0;
        const mime: string | undefined = report?.get(entry.codecId)?.mimeType;
        if (mime) codecs.push(mime.replace(/^.*\//, "").toLowerCase());
      }
    }
    const now = performance.now();
    const last = this.#last;
    this.#last = { atMs: now, bytes, lost, packets, frames: this.#frames };
    const seconds = last ? (now - last.atMs) / 1000 : 0;
    const sent = last ? lost - last.lost + packets - last.packets : 0;
    return {
      framesPerSecond: last && seconds > 0 ? (this.#frames - last.frames) / seconds : null,
      bitrateBps: last && seconds > 0 ? ((bytes - last.bytes) * 8) / seconds : null,
      loss: last && sent > 0 ? (lost - last.lost) / sent : null,
      soundQueueMs: null,
      codec: codecs.join("+") || null,
      width: this.element.videoWidth,
      height: this.element.videoHeight,
      frames: this.#frames,
    };
  }

  close(): void {
    this.#closed = true;
    this.element.srcObject = null;
  }

  #watchPictures(): void {
    const next = () => {
      if (this.#closed) return;
      this.element.requestVideoFrameCallback(next);
      // Chromium may call before the first picture can be drawn: nothing would be, without an error.
      if (this.element.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
      this.#frames += 1;
      this.onPicture?.(this.element, this.element.videoWidth, this.element.videoHeight);
    };
    this.element.requestVideoFrameCallback(next);
  }

  async #play(): Promise<void> {
    try {
      await this.element.play();
    } catch (error) {
      // Before the first click a page may play only without sound.
      if ((error as DOMException).name !== "NotAllowedError") return;
      this.element.muted = true;
      // If even that is refused, the element plays once it is on the page, by its autoplay attribute.
      await this.element.play().catch(() => undefined);
    }
  }
}
