/** Copies one encoded track to every subscription of it. */

import { Time, type Group, type Track } from "@moq/net";

/** One subscription: the track it reads and the group that is being written, with the time of its first frame. */
interface Sink {
  track: Track.Producer;
  group: Group.Producer | null;
  beganUs: number;
}

/** A subscription's groups older than this are not worth sending any more. */
const LATENCY_MAX_MS = 1000;

/** Serves the requests for one track. A new subscription begins with the next keyframe, so it never holds an old group. */
export class TrackFanout {
  readonly #sinks = new Set<Sink>();
  readonly #priority: number;
  readonly #groupUs: number;
  readonly #onWanted: (wanted: boolean) => void;

  /**
   * Groups last `groupUs` microseconds of media at least. Calls `onWanted(true)` at each new subscription and
   * `onWanted(false)` after the last one.
   */
  constructor(priority: number, groupUs: number, onWanted: (wanted: boolean) => void) {
    this.#priority = priority;
    this.#groupUs = groupUs;
    this.#onWanted = onWanted;
  }

  /** Accepts a subscription. */
  serve(request: Track.Request): void {
    const track = request.accept({ timescale: Time.Timescale.MICRO, priority: this.#priority, latencyMax: LATENCY_MAX_MS });
    const sink: Sink = { track, group: null, beganUs: 0 };
    this.#sinks.add(sink);
    this.#onWanted(true);
    void Promise.race([track.unused(), track.closed]).then(() => {
      this.#sinks.delete(sink);
      track.close();
      if (this.#sinks.size === 0) this.#onWanted(false);
    });
  }

  /** Writes a frame; a group may begin with it if it is a `keyframe`, as all sound is. */
  write(payload: Uint8Array, timestampUs: number, keyframe: boolean): void {
    const timestamp = new Time.Timestamp(timestampUs, Time.Timescale.MICRO);
    for (const sink of this.#sinks) {
      if (sink.track.closed.peek() !== undefined) continue;
      if (keyframe && (!sink.group || timestampUs - sink.beganUs >= this.#groupUs)) {
        sink.group?.close();
        sink.group = sink.track.appendGroup();
        sink.beganUs = timestampUs;
      }
      sink.group?.writeFrame({ payload, timestamp });
    }
  }

  /** Whether anybody subscribes. */
  get wanted(): boolean {
    return this.#sinks.size > 0;
  }

  close(): void {
    for (const sink of this.#sinks) {
      sink.group?.close();
      sink.track.close();
    }
    this.#sinks.clear();
  }
}
