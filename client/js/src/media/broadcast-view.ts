/** Shows one broadcast: follows its catalog, subscribes to a picture and a sound, plays both in step. */

import type { Broadcast, Group, Track } from "@moq/net";
import type { AudioTap, Problem, RemoteView, ViewFigures } from "../types.ts";
import { AudioPlayer } from "./audio-player.ts";
import { type AudioRendition, byQuality, type Catalog, parseCatalog, type VideoRendition } from "./catalog.ts";
import { GroupOrder } from "./group-order.ts";
import { decodeFrame, type MediaFrame } from "./legacy.ts";
import { readNewestGroup } from "./newest-group.ts";
import { VideoPlayer } from "./video-player.ts";

/** Groups older than the newest by more than this may be dropped by the sender. */
const VIDEO_LATENCY_MS = 100;
const AUDIO_LATENCY_MS = 300;
/** How long sound waits for a missing frame; less than the player's queue holds. */
const AUDIO_PATIENCE_MS = 60;
const PRIORITY = { catalog: 100, audio: 80, video: 60 };
/** Many publishers begin a group every two seconds; only where one lasts longer is the next one asked for, unless all is lost. */
const GROUP_MS = 2000;
/** How long not to ask for a group again: twice as long each time, until it went well for a while. */
const ASK_AGAIN_FIRST_MS = 500;
const ASK_AGAIN_MOST_MS = 5000;
const WENT_WELL_MS = 10_000;

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
  #asked = 0;
  #askedAtMs = Number.NEGATIVE_INFINITY;
  #groupAtMs = 0;
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
      wantsKeyframe: (lost) => this.#askForNextGroup(lost),
    });
    const track = this.#broadcast.subscribe(rendition.track, { priority: PRIORITY.video, latencyMax: VIDEO_LATENCY_MS });
    this.#video = { rendition, player, track };
    readNewestGroup(track, (payload, first) => {
      if (this.#video?.track !== track) return;
      this.#bytes += payload.byteLength;
      if (first) this.#groupAtMs = performance.now();
      const media = decodeFrame(payload);
      if (media) player.push(media, first);
    }).catch(() => {
      // The subscription was reset: the catalog or the roster tells what comes next.
    });
  }

  /**
   * Wants nothing of the picture before its next group: a sender that can makes one. To subscribe anew would bring the same group
   * again, from its beginning.
   */
  #askForNextGroup(lost: boolean): void {
    const track = this.#video?.track;
    const now = performance.now();
    const againMs = Math.min(ASK_AGAIN_MOST_MS, ASK_AGAIN_FIRST_MS * 2 ** this.#asked);
    if (!track || now - this.#askedAtMs < againMs || (!lost && now - this.#groupAtMs < GROUP_MS)) return;
    this.#asked = now - this.#askedAtMs > WENT_WELL_MS ? 0 : this.#asked + 1;
    this.#askedAtMs = now;
    track.update({ ...track.subscription.peek(), startGroup: (track.latest() ?? -1) + 1 });
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
    const order = new GroupOrder<MediaFrame>(AUDIO_PATIENCE_MS);
    void this.#readAudio(track, player, order);
    void this.#readAudioDatagrams(track, player, order);
  }

  async #readAudio(track: Track.Subscriber, player: AudioPlayer, order: GroupOrder<MediaFrame>): Promise<void> {
    try {
      for (let group = await track.recvGroup(); group; group = await track.recvGroup()) {
        void this.#readAudioGroup(group, player, order);
      }
    } catch {
      // As for video.
    }
  }

  async #readAudioGroup(group: Group.Consumer, player: AudioPlayer, order: GroupOrder<MediaFrame>): Promise<void> {
    try {
      for (let frame = await group.readFrame(); frame; frame = await group.readFrame()) {
        this.#playAudio(frame.payload, player, (media) => order.push(group.sequence, media, performance.now()));
      }
      this.#deliverAudio(order.end(group.sequence, performance.now()), player, order);
    } catch {
      // A group that broke off counts as missing when later ones come.
    }
  }

  async #readAudioDatagrams(track: Track.Subscriber, player: AudioPlayer, order: GroupOrder<MediaFrame>): Promise<void> {
    try {
      for (let datagram = await track.recvDatagram(); datagram; datagram = await track.recvDatagram()) {
        const { sequence, payload } = datagram;
        this.#playAudio(payload, player, (media) => order.push(sequence, media, performance.now()));
        this.#deliverAudio(order.end(sequence, performance.now()), player, order);
      }
    } catch {
      // As for video.
    }
  }

  #playAudio(payload: Uint8Array, player: AudioPlayer, inOrder: (media: MediaFrame) => MediaFrame[]): void {
    this.#bytes += payload.byteLength;
    const media = decodeFrame(payload);
    if (media) for (const frame of inOrder(media)) player.push(frame);
  }

  #deliverAudio(ready: MediaFrame[], player: AudioPlayer, order: GroupOrder<MediaFrame>): void {
    this.#audioSeen = order.seen;
    this.#audioMissing = order.missing;
    for (const frame of ready) player.push(frame);
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
