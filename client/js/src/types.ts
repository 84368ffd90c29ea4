/** What both transports share: who is in a channel, what a tile shows, and what is measured. */

import { Emitter } from "./emitter.ts";

/** Sound or picture. */
export type Kind = "audio" | "video";

/** A track as the roster tells it. */
export interface TrackInfo {
  /** The gateway's id of the track, unique in the channel. */
  id: string;
  kind: Kind;
  /** `vp8`, `h264` or `opus`. */
  codec: string;
  label?: string;
}

/** Somebody in the channel. */
export interface Participant {
  /** The gateway's id of the participant. */
  id: string;
  /** The name others see, unique in the channel. */
  name: string;
  /** How the participant is connected: `webrtc`, `webtransport`, `whip` or `whep`. */
  transport: string;
  tracks: TrackInfo[];
}

/** How to reach the gateway. */
export type TransportKind = "webrtc" | "webtransport";

/** A thing that went wrong, in words that a user can act on. */
export interface Problem {
  /** A stable word for programs, such as `name-taken` or `ice-failed`. */
  code: string;
  /** A sentence for people. */
  message: string;
  /** The session has ended and does not come back by itself. */
  fatal: boolean;
  /** The name of the participant whose media this is about. */
  participant?: string;
}

/** Where a session stands. */
export type SessionState = "idle" | "connecting" | "joined" | "reconnecting" | "closed";

/** Figures of one remote participant, over the last second or so; `null` where the transport does not tell. */
export interface ViewFigures {
  /** Pictures shown per second. */
  framesPerSecond: number | null;
  /** Received media, bits per second. */
  bitrateBps: number | null;
  /** Lost share of what was sent, 0 to 1. */
  loss: number | null;
  /** Sound that waits to be played, in milliseconds. */
  soundQueueMs: number | null;
  /** The codecs in use, video first, such as `vp8+opus`. */
  codec: string | null;
  /** Picture size in pixels. */
  width: number;
  height: number;
  /** Pictures shown since the beginning. */
  frames: number;
}

/** Figures of the whole session. */
export interface SessionFigures {
  /** Round trip to the gateway in milliseconds. */
  roundTripMs: number | null;
  /** Sent media, bits per second. */
  sentBps: number | null;
  /** The codecs being sent, such as `vp8+opus`. */
  sendCodec: string | null;
  /** Pictures encoded per second. */
  sentFramesPerSecond: number | null;
}

/** Sound of a view inside a Web Audio graph, for measuring. */
export interface AudioTap {
  context: AudioContext;
  node: AudioNode;
}

/** One remote participant, as shown. */
export interface RemoteView {
  /** Name of the participant. */
  readonly participant: string;
  /** What to put on the page: it shows the picture and, unless muted, plays the sound. */
  readonly element: HTMLVideoElement | HTMLCanvasElement;
  /** Called for each picture at the moment it is shown. */
  onPicture: ((picture: CanvasImageSource, width: number, height: number) => void) | null;
  /** The sound for meters, or `null` while there is none. */
  audioTap(): AudioTap | null;
  /** Silences the view. */
  setMuted(muted: boolean): void;
  /** Tells what is measured. */
  figures(): Promise<ViewFigures>;
}

/** What a session tells. */
export interface SessionEvents {
  state: SessionState;
  participants: Participant[];
  view: RemoteView;
  viewclosed: RemoteView;
  problem: Problem;
}

/** What to join, and as whom. */
export interface SessionOptions {
  /** Origin of the gateway, such as `http://127.0.0.1:4433`. */
  origin: string;
  channel: string;
  /** 1–64 characters of `[A-Za-z0-9._-]`, not starting with a dot. */
  name: string;
  /** What to publish, if anything. */
  publish?: MediaStream;
  /** Show the others. */
  watch: boolean;
  /** Video codec to publish with; default `vp8`, which every browser decodes. */
  codec?: "vp8" | "h264";
}

/** One membership of a channel, whichever transport carries it. */
export abstract class Session extends Emitter<SessionEvents> {
  abstract readonly transport: TransportKind;
  #state: SessionState = "idle";
  #participants: Participant[] = [];
  /** The views that exist now, by the participant's name. */
  readonly views = new Map<string, RemoteView>();

  get state(): SessionState {
    return this.#state;
  }

  /** Everybody else in the channel. */
  get participants(): readonly Participant[] {
    return this.#participants;
  }

  /** Joins; settles when the gateway has let us in, or rejects with a {@link SessionError}. */
  abstract join(): Promise<void>;
  /** Leaves for good. */
  abstract leave(): void;
  /** Tells what is measured. */
  abstract figures(): Promise<SessionFigures>;

  protected setState(state: SessionState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.emit("state", state);
  }

  protected setParticipants(participants: Participant[]): void {
    this.#participants = participants;
    this.emit("participants", participants);
  }

  protected addView(view: RemoteView): void {
    this.views.set(view.participant, view);
    this.emit("view", view);
  }

  protected removeView(view: RemoteView): void {
    if (this.views.get(view.participant) !== view) return;
    this.views.delete(view.participant);
    this.emit("viewclosed", view);
  }
}

/** Why joining failed. */
export class SessionError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.message);
    this.name = "SessionError";
    this.problem = problem;
  }
}
