/** Publishes a media stream as a hang broadcast: the catalog and one track of each kind. */

import { Broadcast, type Track } from "@moq/net";
import { AudioPublisher } from "./audio-publisher.ts";
import { buildCatalog, type PublishedTracks } from "./catalog.ts";
import { VideoPublisher } from "./video-publisher.ts";

/** A stream being published. */
export class BroadcastPublisher {
  readonly broadcast = new Broadcast.Producer();
  readonly video: VideoPublisher | null;
  readonly audio: AudioPublisher | null;
  readonly #catalog: Track.Producer;
  #tracks: PublishedTracks = {};

  /** Calls `onError` with words for the user when encoding fails. */
  constructor(stream: MediaStream, codec: "vp8" | "h264", onError: (message: string) => void) {
    this.#catalog = this.broadcast.createTrack("catalog.json", { priority: 100 });
    const [videoTrack] = stream.getVideoTracks();
    const [audioTrack] = stream.getAudioTracks();
    this.video = videoTrack
      ? new VideoPublisher(videoTrack, codec, (video) => this.#describe({ video }), (message) => onError(`Encoding the picture failed: ${message}`))
      : null;
    this.audio = audioTrack
      ? new AudioPublisher(audioTrack, (audio) => this.#describe({ audio }), (message) => onError(`Encoding the sound failed: ${message}`))
      : null;
    void this.#serve();
  }

  close(): void {
    this.video?.close();
    this.audio?.close();
    this.#catalog.close();
    this.broadcast.close();
  }

  #describe(tracks: PublishedTracks): void {
    this.#tracks = { ...this.#tracks, ...tracks };
    this.#catalog.writeJson(buildCatalog(this.#tracks));
  }

  async #serve(): Promise<void> {
    for (let request = await this.broadcast.requested(); request; request = await this.broadcast.requested()) {
      if (request.name === "video" && this.video) this.video.fanout.serve(request);
      else if (request.name === "audio" && this.audio) this.audio.fanout.serve(request);
      else request.reject(new Error("not found"));
    }
  }
}
