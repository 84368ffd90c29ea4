/** The hang catalog: what a broadcast holds. Only what a player needs is read; the rest is left alone. */

/** One way to watch. */
export interface VideoRendition {
  /** Track name inside the broadcast. */
  track: string;
  /** WebCodecs codec string. */
  codec: string;
  /** Decoder configuration out of band; without it H.264 is Annex B with its parameter sets in the stream. */
  description?: Uint8Array;
  width?: number;
  height?: number;
  bitrateBps?: number;
}

/** One way to listen. */
export interface AudioRendition {
  track: string;
  codec: string;
  description?: Uint8Array;
  sampleRate: number;
  channels: number;
}

/** A broadcast's renditions, in the catalog's order. */
export interface Catalog {
  video: VideoRendition[];
  audio: AudioRendition[];
}

/** Reads a catalog; renditions that are malformed or in an unknown container are skipped, anything else wrong gives `null`. */
export function parseCatalog(json: unknown): Catalog | null {
  if (!isRecord(json)) return null;
  const catalog: Catalog = { video: [], audio: [] };
  for (const [track, config] of renditions(json["video"])) {
    const codec = config["codec"];
    if (typeof codec !== "string") continue;
    catalog.video.push({
      track,
      codec,
      description: hex(config["description"]),
      width: positive(config["codedWidth"]),
      height: positive(config["codedHeight"]),
      bitrateBps: positive(config["bitrate"]),
    });
  }
  for (const [track, config] of renditions(json["audio"])) {
    const codec = config["codec"];
    const sampleRate = positive(config["sampleRate"]);
    const channels = positive(config["numberOfChannels"]);
    if (typeof codec !== "string" || !sampleRate || !channels) continue;
    catalog.audio.push({ track, codec, description: hex(config["description"]), sampleRate, channels });
  }
  return catalog;
}

/** Video renditions by falling size, which is the order in which a player should try them. */
export function byQuality(renditions: readonly VideoRendition[]): VideoRendition[] {
  const size = (r: VideoRendition) => (r.width ?? 0) * (r.height ?? 0);
  return [...renditions].sort((a, b) => size(b) - size(a) || (b.bitrateBps ?? 0) - (a.bitrateBps ?? 0));
}

/** What a publisher sends. */
export interface PublishedTracks {
  video?: { codec: string; width: number; height: number; framerate: number; bitrateBps: number };
  audio?: { codec: string; sampleRate: number; channels: number; bitrateBps: number };
}

/** Writes the catalog of a broadcast with one track of each kind, named `video` and `audio`. */
export function buildCatalog(tracks: PublishedTracks): object {
  const container = { kind: "legacy" };
  const { video, audio } = tracks;
  return {
    ...(video && {
      video: {
        renditions: {
          video: {
            codec: video.codec,
            container,
            codedWidth: video.width,
            codedHeight: video.height,
            framerate: video.framerate,
            bitrate: video.bitrateBps,
            optimizeForLatency: true,
          },
        },
      },
    }),
    ...(audio && {
      audio: {
        renditions: {
          audio: {
            codec: audio.codec,
            container,
            sampleRate: audio.sampleRate,
            numberOfChannels: audio.channels,
            bitrate: audio.bitrateBps,
          },
        },
      },
    }),
  };
}

function renditions(section: unknown): [string, Record<string, unknown>][] {
  if (!isRecord(section) || !isRecord(section["renditions"])) return [];
  return Object.entries(section["renditions"]).filter((entry): entry is [string, Record<string, unknown>] => {
    const config = entry[1];
    if (!isRecord(config)) return false;
    const container = config["container"];
    return container === undefined || (isRecord(container) && container["kind"] === "legacy");
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function positive(value: unknown): number | undefined {
  return typeof value === "number" && value > 0 && Number.isFinite(value) ? value : undefined;
}

function hex(value: unknown): Uint8Array | undefined {
  if (typeof value !== "string" || value.length === 0 || value.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(value)) return undefined;
  return Uint8Array.from(value.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}
