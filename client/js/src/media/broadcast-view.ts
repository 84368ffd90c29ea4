/** Shows one broadcast: follows its catalog, subscribes to a picture and a sound, plays both in step. */

import type { Broadcast, Group, Track } from "@moq/net";
import type { AudioTap, Problem, RemoteView, ViewFigures } from "../types.ts";
import { AudioPlayer } from "./audio-player.ts";
import { type AudioRendition, byQuality, type Catalog, parseCatalog, type VideoRendition } from "./catalog.ts";
import { decodeFrame, type MediaFrame } from "./legacy.ts";
import { Reorder } from "./reorder.ts";
import { VideoPlayer } from "./video-player.ts";

/** Groups older than the newest by more than this may be dropped by the sender. */
const VIDEO_LATENCY_MS = 100;
const AUDIO_LATENCY_MS = 200;
/** How long sound waits for a missing frame; less than the player's queue holds. */
const AUDIO_PATIENCE_MS = 60;
const PRIORITY = { catalog: 100, audio: 80, video: 60 };
/** Least time between two subscriptions that are made to get a new keyframe. */
const RESUBSCRIBE_MS = 500;

/** A view of a hang broadcast. */
export class BroadcastView implements RemoteView {
  readonly participant: string;
  readonly element = document.createElement("canvas");
  onPicture: RemoteView["onPicture"] = null;
  /** Called when the view cannot show something. */
  onProblem: ((problem: Problem) => void) | null = null;
  readonly #broadcast: Broadcast.Consumer;
  #video: { rendition: VideoRendition; player: VideoPlayer; track: Track.Subscriber } | null = null;
  #audio: { rendition: AudioRendition; player: AudioPlayer; track: Track.Subscriber } | null = null;
  #muted = false;
  #closed = false;
  #bytes = 0;
  #frames = 0;
  #audioSeen = 0;
  #audioMissing = 0;
  #last: { atMs: number; bytes: number; frames: number; seen: number; missing: number } | null = null;

  constructor(participant: string, broadcast: Broadcast.Consumer) {
    this.participant = participant;
    this.#broadcast = broadcast;
    void this.#followCatalog();
  }

  audioTap(): AudioTap | null {
    return this.#audio && { context: this.#audio.player.context, node: this.#audio.player.output };
  }

  setMuted(muted: boolean): void {
    this.#muted = muted;
    this.#audio?.player.setAudible(!muted);
  }

  async figures(): Promise<ViewFigures> {
    const now = performance.now();
    const last = this.#last;
    this.#last = { atMs: now, bytes: this.#bytes, frames: this.#frames, seen: this.#audioSeen, missing: this.#audioMissing };
    const seconds = last ? (now - last.atMs) / 1000 : 0;
    const seen = last ? this.#audioSeen - last.seen : 0;
    const missing = last ? this.#audioMissing - last.missing : 0;
    return {
      framesPerSecond: last && seconds > 0 ? (this.#frames - last.frames) / seconds : null,
      bitrateBps: last && seconds > 0 ? ((this.#bytes - last.bytes) * 8) / seconds : null,
      loss: seen + missing > 0 ? missing / (seen + missing) : null,
      soundQueueMs: this.#audio?.player.status()?.levelMs ?? null,
      codec: [this.#video?.rendition.codec, this.#audio?.rendition.codec].filter(Boolean).join("+") || null,
      width: this.element.width,
      height: this.element.height,
      frames: this.#frames,
    };
  }

  close(): void {
    this.#closed = true;
    this.#stopVideo();
    this.#stopAudio();
    this.#broadcast.close();
  }

  async #followCatalog(): Promise<void> {
    try {
      const track = this.#broadcast.subscribe("catalog.json", { priority: PRIORITY.catalog });
      while (!this.#closed) {
        const json = await track.readJson();
        if (json === undefined) break;
        const catalog = parseCatalog(json);
        if (catalog && !this.#closed) await this.#apply(catalog);
      }
    } catch (error) {
      if (!this.#closed) this.#problem("catalog", `The description of ${this.participant}'s media cannot be read: ${String(error)}`);
    }
  }

  async #apply(catalog: Catalog): Promise<void> {
    const video = byQuality(catalog.video)[0];
    if (!video) this.#stopVideo();
    else if (!this.#video || !sameVideo(this.#video.rendition, video)) await this.#startVideo(video);
    const audio = catalog.audio[0];
    if (!audio) this.#stopAudio();
    else if (!this.#audio || !sameAudio(this.#audio.rendition, audio)) await this.#startAudio(audio);
  }

  async #startVideo(rendition: VideoRendition): Promise<void> {
    this.#stopVideo();
    const config = { codec: rendition.codec, description: rendition.description, optimizeForLatency: true };
    if (typeof VideoDecoder === "undefined" || !(await supported(VideoDecoder.isConfigSupported(config)))) {
      this.#problem("codec", `This browser cannot decode ${this.participant}'s video (${rendition.codec}). Try WebRTC or another browser.`);
      return;
    }
    if (this.#closed) return;
    const player = new VideoPlayer(this.element, rendition, {
      soundUsAt: (nowMs) => this.#audio?.player.mediaUsAt(nowMs) ?? null,
      shown: () => {
        this.#frames += 1;
        this.onPicture?.(this.element, this.element.width, this.element.height);
      },
      broken: () => setTimeout(() => this.#video?.player === player && void this.#startVideo(rendition), RESUBSCRIBE_MS),
    });
    const track = this.#broadcast.subscribe(rendition.track, { priority: PRIORITY.video, latencyMax: VIDEO_LATENCY_MS });
    this.#video = { rendition, player, track };
    void this.#readVideo(track, player);
  }

  async #startAudio(rendition: AudioRendition): Promise<void> {
    this.#stopAudio();
    const config = { codec: rendition.codec, sampleRate: rendition.sampleRate, numberOfChannels: rendition.channels };
    if (typeof AudioDecoder === "undefined" || !(await supported(AudioDecoder.isConfigSupported(config)))) {
      this.#problem("codec", `This browser cannot decode ${this.participant}'s sound (${rendition.codec}). Try WebRTC or another browser.`);
      return;
    }
    if (this.#closed) return;
    const player = new AudioPlayer(rendition);
    player.setAudible(!this.#muted);
    const track = this.#broadcast.subscribe(rendition.track, { priority: PRIORITY.audio, latencyMax: AUDIO_LATENCY_MS });
    this.#audio = { rendition, player, track };
    const order = new Reorder<MediaFrame[]>(AUDIO_PATIENCE_MS);
    void this.#readAudio(track, player, order);
    void this.#readAudioDatagrams(track, player, order);
  }

  /** Decodes the newest group only: a group that begins later replaces the one being read. */
  async #readVideo(track: Track.Subscriber, player: VideoPlayer): Promise<void> {
    let current: Group.Consumer | null = null;
    try {
      for (let group = await track.nextGroup(); group; group = await track.nextGroup()) {
        const previous: Group.Consumer | null = current;
        current = group;
        void this.#readVideoGroup(group, player, () => previous?.close());
      }
    } catch {
      // The subscription was reset: the catalog or the roster tells what comes next.
    }
  }

  async #readVideoGroup(group: Group.Consumer, player: VideoPlayer, begun: () => void): Promise<void> {
    try {
      for (let index = 0; ; index++) {
        const frame = await group.readFrameSequence();
        // A hole in a group makes everything after it undecodable.
        if (!frame || frame.sequence !== index) break;
        if (index === 0) begun();
        this.#bytes += frame.payload.byteLength;
        const media = decodeFrame(frame.payload);
        if (media) player.push(media, index === 0);
      }
    } catch {
      // The sender gave the group up; a newer one follows.
    }
  }

  async #readAudio(track: Track.Subscriber, player: AudioPlayer, order: Reorder<MediaFrame[]>): Promise<void> {
    try {
      for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
        void this.#readAudioGroup(group, player, order);
      }
    } catch {
      // As for video.
    }
  }

  async #readAudioGroup(group: Group.Consumer, player: AudioPlayer, order: Reorder<MediaFrame[]>): Promise<void> {
    const frames: MediaFrame[] = [];
    try {
      for (let frame = await group.readFrame(); frame; frame = await group.readFrame()) this.#addAudio(frame.payload, frames);
    } catch {
      // A lost group counts as missing when the next ones arrive.
      return;
    }
    this.#deliverAudio(order.push(group.sequence, frames, performance.now()), player, order);
  }

  async #readAudioDatagrams(track: Track.Subscriber, player: AudioPlayer, order: Reorder<MediaFrame[]>): Promise<void> {
    try {
      for (let datagram = await track.recvDatagram(); datagram; datagram = await track.recvDatagram()) {
        const frames: MediaFrame[] = [];
        this.#addAudio(datagram.payload, frames);
        this.#deliverAudio(order.push(datagram.sequence, frames, performance.now()), player, order);
      }
    } catch {
      // As for video.
    }
  }

  #addAudio(payload: Uint8Array, frames: MediaFrame[]): void {
    this.#bytes += payload.byteLength;
    const media = decodeFrame(payload);
    if (media) frames.push(media);
  }

  #deliverAudio(ready: MediaFrame[][], player: AudioPlayer, order: Reorder<MediaFrame[]>): void {
    this.#audioSeen += ready.length;
    this.#audioMissing = order.missing;
    for (const frame of ready.flat()) player.push(frame);
  }

  #stopVideo(): void {
    this.#video?.track.close();
    this.#video?.player.close();
    this.#video = null;
  }

  #stopAudio(): void {
    this.#audio?.track.close();
    this.#audio?.player.close();
    this.#audio = null;
  }

  #problem(code: string, message: string): void {
    this.onProblem?.({ code, message, fatal: false, participant: this.participant });
  }
}

async function supported(check: Promise<{ supported?: boolean }>): Promise<boolean> {
  // A malformed configuration rejects, which is as good as a no.
  return check.then((answer) => answer.supported === true, () => false);
}

function sameVideo(a: VideoRendition, b: VideoRendition): boolean {
  return a.track === b.track && a.codec === b.codec && sameBytes(a.description, b.description);
}

function sameAudio(a: AudioRendition, b: AudioRendition): boolean {
  return a.track === b.track && a.codec === b.codec && a.sampleRate === b.sampleRate && a.channels === b.channels && sameBytes(a.description, b.description);
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]));
}
