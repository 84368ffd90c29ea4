/** The WebTransport side: Media over QUIC by `@moq/net`, encoding and decoding by WebCodecs. */

import { type Broadcast, Connection, Path } from "@moq/net";
import { followJson } from "./follow-json.ts";
import { BroadcastPublisher } from "./media/broadcast-publisher.ts";
import { BroadcastView } from "./media/broadcast-view.ts";
import { type Participant, type Problem, Session, SessionError, type SessionFigures, type SessionOptions } from "./types.ts";

/** Versions of moq-lite that the gateway and this client share, newest first. */
const PROTOCOLS = ["moq-lite-05", "moq-lite-04", "moq-lite-03", "moql"];
const CONNECT_TIMEOUT_MS = 8000;
/** Sound asked for in groups of this length. Each group is a stream, and one for every packet is more than Firefox can bear. */
const SOUND_GROUP_MS = 100;
/** A gateway that tells no roster within this time does not have one. */
const ROSTER_TIMEOUT_MS = 500;
const RECONNECT_FIRST_MS = 250;
const RECONNECT_MOST_MS = 8000;
/** The broadcast in which the gateway speaks about the session itself. */
const CONTROL = ".gateway";
const CONTROL_OPTIONS = { priority: 100 };
const SUFFIX = ".hang";

/** A membership over WebTransport. */
export class WebTransportSession extends Session {
  readonly transport = "webtransport" as const;
  readonly #options: SessionOptions;
  #connection: Connection.Established | null = null;
  #webtransport: WebTransport | null = null;
  #publisher: BroadcastPublisher | null = null;
  #left = false;
  #attempts = 0;
  #hasRoster = false;
  #last: { atMs: number; bytes: number; frames: number } | null = null;

  constructor(options: SessionOptions) {
    super();
    this.#options = options;
  }

  async join(): Promise<void> {
    this.setState("connecting");
    await this.#connect();
  }

  leave(): void {
    this.#left = true;
    this.#teardown();
    this.setState("closed");
  }

  async figures(): Promise<SessionFigures> {
    const connection = this.#connection;
    const stats = connection ? await connection.stats() : {};
    const bytes = (this.#publisher?.video?.bytes ?? 0) + (this.#publisher?.audio?.bytes ?? 0);
    const frames = this.#publisher?.video?.frames ?? 0;
    const now = performance.now();
    const last = this.#last;
    this.#last = { atMs: now, bytes, frames };
    const seconds = last ? (now - last.atMs) / 1000 : 0;
    const rate = (value: number, before: number | undefined) =>
      this.#publisher && before !== undefined && seconds > 0 ? (value - before) / seconds : null;
    const sent = rate(bytes, last?.bytes);
    return {
      roundTripMs: stats.rtt ?? connection?.probe.peek()?.rtt ?? null,
      sentBps: sent === null ? null : sent * 8,
      sendCodec: this.#publisher ? [this.#publisher.video && (this.#options.codec ?? "vp8"), this.#publisher.audio && "opus"].filter(Boolean).join("+") : null,
      sentFramesPerSecond: rate(frames, last?.frames),
    };
  }

  async #connect(): Promise<void> {
    if (typeof WebTransport === "undefined") throw new SessionError(unsupported());
    const { origin, channel, name } = this.#options;
    const hashes = await fetchHashes(origin);
    const url = new URL(origin);
    url.protocol = "https:";
    // The gateway may listen on IPv4 alone, and browsers do not try the second address of `localhost` over QUIC.
    if (url.hostname === "localhost") url.hostname = "127.0.0.1";
    url.pathname = `/${channel}`;
    url.searchParams.set("name", name);
    url.searchParams.set("sound-group-ms", String(SOUND_GROUP_MS));
    const webtransport = new WebTransport(url, {
      allowPooling: false,
      congestionControl: "low-latency",
      protocols: PROTOCOLS,
      serverCertificateHashes: hashes,
    } as WebTransportOptions);
    this.#webtransport = webtransport;
    const closed = webtransport.closed.then(
      (info) => info.reason || "",
      (error) => String(error?.message ?? error),
    );
    let connection: Connection.Established;
    try {
      await withTimeout(webtransport.ready);
      connection = await Connection.connect(url, { transport: webtransport, signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
    } catch (error) {
      webtransport.close();
      throw new SessionError(refused(await Promise.race([closed, String(error)]), url));
    }
    if (this.#left) {
      connection.close();
      return;
    }
    this.#connection = connection;
    if (this.#options.publish) this.#publish(connection, this.#options.publish);
    void this.#follow(connection);
    const told = this.#control(connection);
    // Who is not let in gets a session that is closed with the reason; whoever is told the roster is in.
    const refusal = await Promise.race([closed, told.then(() => null)]);
    if (refusal !== null) {
      this.#teardown();
      throw new SessionError(refused(refusal, url));
    }
    this.#attempts = 0;
    void closed.then((reason) => this.#lost(connection, reason));
    this.setState("joined");
  }

  #publish(connection: Connection.Established, stream: MediaStream): void {
    this.#publisher = new BroadcastPublisher(stream, this.#options.codec ?? "vp8", (message) =>
      this.emit("problem", { code: "encode", message, fatal: false }),
    );
    connection.publish(Path.from(this.#options.name + SUFFIX), this.#publisher.broadcast);
  }

  /** Shows what is announced, and listens to the gateway's own broadcast. */
  async #follow(connection: Connection.Established): Promise<void> {
    const announced = connection.announced();
    for (let event = await announced.next(); event; event = await announced.next()) {
      const path = String(event.path);
      if (!path.endsWith(SUFFIX)) continue;
      const participant = path.slice(0, -SUFFIX.length);
      if (participant === this.#options.name) continue;
      this.#closeView(participant);
      if (event.active && this.#options.watch) this.#openView(participant, connection.consume(event.path));
      if (!this.#hasRoster) this.#guessRoster(participant, event.active);
    }
  }

  /** Until the gateway tells who is here, the announcements do. */
  #guessRoster(name: string, here: boolean): void {
    const others = this.participants.filter((participant) => participant.name !== name);
    if (here) others.push({ id: name, name, transport: "", tracks: [] });
    this.setParticipants(others);
  }

  /** Follows the gateway's own broadcast; settles when the first roster has come, or when it is clear that none will. */
  #control(connection: Connection.Established): Promise<void> {
    const broadcast = connection.consume(Path.from(CONTROL));
    // Who has told no roster by the time that a track ends is not a gateway that has one.
    const goesOn = () => this.#connection === connection && this.#hasRoster;
    if (this.#options.publish) {
      void followJson(() => broadcast.subscribe("keyframes", CONTROL_OPTIONS), goesOn, (ask) => {
        const wanted = (ask as { broadcast?: string }).broadcast;
        if (wanted === this.#options.name + SUFFIX) this.#publisher?.video?.requestKeyframe();
      });
    }
    return new Promise((resolve) => {
      const followed = followJson(() => broadcast.subscribe("roster.json", CONTROL_OPTIONS), goesOn, (roster) => {
        if (!Array.isArray(roster)) return;
        this.#hasRoster = true;
        this.setParticipants((roster as Participant[]).filter((participant) => participant.name !== this.#options.name));
        resolve();
      });
      // Where there is no roster, announcements remain.
      void followed.then(() => setTimeout(resolve, ROSTER_TIMEOUT_MS));
    });
  }

  #openView(participant: string, broadcast: Broadcast.Consumer): void {
    const view = new BroadcastView(participant, broadcast);
    view.onProblem = (problem) => this.emit("problem", problem);
    this.addView(view);
  }

  #closeView(participant: string): void {
    const view = this.views.get(participant);
    if (!view) return;
    this.removeView(view);
    (view as BroadcastView).close();
  }

  #lost(connection: Connection.Established, reason: string): void {
    if (this.#left || this.#connection !== connection) return;
    this.#teardown();
    this.setParticipants([]);
    this.setState("reconnecting");
    if (reason) this.emit("problem", { code: "disconnected", message: `The connection ended: ${reason}. Trying again.`, fatal: false });
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    while (!this.#left && this.state !== "joined") {
      const wait = Math.min(RECONNECT_MOST_MS, RECONNECT_FIRST_MS * 2 ** this.#attempts++);
      await new Promise((resolve) => setTimeout(resolve, wait * (0.75 + Math.random() / 2)));
      try {
        if (!this.#left) await this.#connect();
      } catch (error) {
        if (error instanceof SessionError && error.problem.fatal) {
          this.emit("problem", error.problem);
          this.leave();
        }
      }
    }
  }

  #teardown(): void {
    for (const name of [...this.views.keys()]) this.#closeView(name);
    this.#publisher?.close();
    this.#publisher = null;
    this.#connection?.close();
    this.#connection = null;
    this.#webtransport?.close();
    this.#webtransport = null;
    this.#hasRoster = false;
  }
}

async function fetchHashes(origin: string): Promise<{ algorithm: string; value: Uint8Array }[]> {
  const response = await fetch(new URL("/certificate.sha256", origin)).catch(() => null);
  // A gateway with a certificate that browsers trust needs no hash.
  if (!response?.ok) return [];
  const text = await response.text();
  return text
    .split(/[\s,]+/)
    .filter((hash) => /^[0-9a-f]{64}$/i.test(hash))
    .map((hash) => ({ algorithm: "sha-256", value: Uint8Array.from(hash.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)) }));
}

function withTimeout<T>(promise: Promise<T>): Promise<T> {
  const timeout = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error("no answer within 8 seconds")), CONNECT_TIMEOUT_MS),
  );
  return Promise.race([promise, timeout]);
}

function unsupported(): Problem {
  const message = window.isSecureContext
    ? "This browser has no WebTransport. Choose WebRTC instead, or use a newer browser."
    : "WebTransport works only on pages opened as https:// or from this machine (http://127.0.0.1). Choose WebRTC instead.";
  return { code: "webtransport-unsupported", message, fatal: true };
}

function refused(reason: string, url: URL): Problem {
  if (/name.taken/i.test(reason)) return { code: "name-taken", message: "Somebody in this channel already has this name. Choose another.", fatal: true };
  if (/channel.full/i.test(reason)) return { code: "channel-full", message: "This channel is full.", fatal: true };
  return {
    code: "webtransport-failed",
    message: `No WebTransport connection to ${url.host} (${reason || "no reason given"}). A firewall may block UDP; choose WebRTC instead, or ask for UDP port ${url.port || 443} to be opened.`,
    fatal: false,
  };
}
