/** Joins by the transport that was asked for, or by the first that works. */

import { type Session, SessionError, type SessionOptions, type TransportKind } from "./types.ts";
import { WebRtcSession } from "./webrtc.ts";
import { WebTransportSession } from "./webtransport.ts";

/** What to join, and how. */
export interface JoinOptions extends SessionOptions {
  /** Default `auto`: WebRTC, and WebTransport where that does not work. */
  transport?: TransportKind | "auto";
}

/**
 * Makes a session, lets `prepare` add listeners to it, and joins.
 *
 * Rejects with a {@link SessionError} when no transport that was allowed works.
 */
export async function joinChannel(options: JoinOptions, prepare: (session: Session) => void): Promise<Session> {
  const { transport = "auto", ...rest } = options;
  const order: TransportKind[] = transport === "auto" ? ["webrtc", "webtransport"] : [transport];
  let failure: unknown = null;
  for (const kind of order) {
    const session = kind === "webrtc" ? new WebRtcSession(rest) : new WebTransportSession(rest);
    prepare(session);
    try {
      await session.join();
      return session;
    } catch (error) {
      session.leave();
      failure ??= error;
      // Another transport does not help against a taken name or a full channel.
      if (error instanceof SessionError && ["name-taken", "channel-full", "version"].includes(error.problem.code)) break;
    }
  }
  throw failure;
}
