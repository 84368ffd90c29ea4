/** The WebSocket that joins a channel: versioned JSON messages, as in `docs/signaling.md`. */

import { Emitter } from "./emitter.ts";
import type { Participant } from "./types.ts";

/** Version of the messages below. */
export const VERSION = 1;

/** What a client sends. */
export type ClientMessage =
  | { type: "join"; version: number; channel: string; name?: string; observe?: boolean; offer?: string; offerId?: number }
  | { type: "offer"; id: number; sdp: string; receive?: { mid: string; track: string }[] }
  | { type: "candidate"; candidate: string; mid?: string; index?: number; ufrag?: string }
  | { type: "receive"; mid: string; track: string | null }
  | { type: "ping"; t: number }
  | { type: "leave" };

/** What the gateway sends. */
export type ServerMessage =
  | { type: "joined"; version: number; id: string; name: string; channel: string; iceServers: RTCIceServer[]; participants: Participant[] }
  | { type: "answer"; id: number; sdp: string }
  | { type: "candidate"; candidate: string; mid?: string; index?: number }
  | { type: "receive"; mid: string; track: string | null; participant?: string }
  | { type: "participant"; event: "joined" | "changed" | "left"; participant: Participant }
  | { type: "unavailable"; track: string; participant: string; reason: string; message: string }
  | { type: "error"; code: string; message: string; fatal: boolean; line?: number; id?: number }
  | { type: "pong"; t: number }
  | { type: "bye"; reason: string };

/** What {@link Signaling} tells. */
export interface SignalingEvents {
  /** The socket is open; the first message to send is a join. */
  open: undefined;
  message: ServerMessage;
  /** The socket is gone; `retry` tells whether another attempt follows. */
  closed: { retry: boolean; reason: string };
}

const RECONNECT_FIRST_MS = 250;
const RECONNECT_MOST_MS = 8000;
const PING_MS = 5000;
/** Without a word from the gateway for this long the socket counts as dead. */
const SILENCE_MS = 15_000;
const CONNECT_TIMEOUT_MS = 8000;

/** A WebSocket that comes back. */
export class Signaling extends Emitter<SignalingEvents> {
  readonly #url: string;
  #socket: WebSocket | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;
  #attempts = 0;
  #heardMs = 0;
  #finished = false;
  /** Round trip of the last ping in milliseconds. */
  roundTripMs: number | null = null;

  /** `origin` is the gateway's, such as `http://127.0.0.1:4433`. */
  constructor(origin: string) {
    super();
    const url = new URL("/ws", origin);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    this.#url = url.href;
  }

  /** Opens the socket, and again whenever it is lost, until {@link close}. */
  open(): void {
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    const timeout = setTimeout(() => socket.close(), CONNECT_TIMEOUT_MS);
    socket.onopen = () => {
      clearTimeout(timeout);
      this.#heardMs = performance.now();
      this.#timer = setInterval(() => this.#tick(), PING_MS);
      this.emit("open", undefined);
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ reason }) => {
      clearTimeout(timeout);
      this.#lost(reason);
    };
  }

  /** Sends, if the socket is open; what cannot be sent now is made anew after the next join. */
  send(message: ClientMessage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Resets the waiting time between attempts, once a join has succeeded. */
  succeeded(): void {
    this.#attempts = 0;
  }

  /** Closes the socket and joins again after the usual wait. */
  restart(): void {
    this.#socket?.close();
  }

  /** Closes for good. */
  close(): void {
    this.#finished = true;
    this.send({ type: "leave" });
    this.#socket?.close();
  }

  #receive(data: unknown): void {
    this.#heardMs = performance.now();
    const message = parse(data);
    if (!message) return;
    if (message.type === "pong") this.roundTripMs = performance.now() - message.t;
    if (message.type === "bye" || (message.type === "error" && message.fatal)) this.#finished = true;
    this.emit("message", message);
  }

  #tick(): void {
    if (performance.now() - this.#heardMs > SILENCE_MS) this.#socket?.close();
    else this.send({ type: "ping", t: Math.round(performance.now()) });
  }

  #lost(reason: string): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.emit("closed", { retry: !this.#finished, reason });
    if (this.#finished) return;
    const wait = Math.min(RECONNECT_MOST_MS, RECONNECT_FIRST_MS * 2 ** this.#attempts++);
    setTimeout(() => {
      if (!this.#finished) this.open();
    }, wait * (0.75 + Math.random() / 2));
  }
}

function parse(data: unknown): ServerMessage | null {
  if (typeof data !== "string") return null;
  try {
    const message = JSON.parse(data);
    return typeof message?.type === "string" ? message : null;
  } catch {
    return null;
  }
}
