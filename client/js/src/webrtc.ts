/** The WebRTC side: one peer connection, whose every offer comes from here. */

import { Signaling, type ServerMessage, VERSION } from "./signaling.ts";
import { type Kind, type Participant, type Problem, Session, SessionError, type SessionFigures, type SessionOptions } from "./types.ts";
import { WebRtcView } from "./webrtc-view.ts";

/** How long a first connection may take before the user is told why there is none. */
const CONNECT_TIMEOUT_MS = 10_000;
/** A connection that has been gone this long is made anew. */
const DISCONNECTED_MS = 4000;
/** Video codecs that the gateway forwards. */
const VIDEO_CODECS = ["video/VP8", "video/H264", "video/rtx"];

/** Errors that mean that a join did not succeed, even where the socket stays open. */
const JOIN_ERRORS = new Set(["name-taken", "channel-full", "version", "bad-message", "bad-sdp"]);

/** A receive slot: a recvonly m-line to which the gateway assigns tracks of others. */
interface Slot {
  kind: Kind;
  transceiver: RTCRtpTransceiver;
}

/** A membership over WebRTC. */
export class WebRtcSession extends Session {
  readonly transport = "webrtc" as const;
  readonly #options: SessionOptions;
  readonly #signaling: Signaling;
  #peer: RTCPeerConnection | null = null;
  #slots: Slot[] = [];
  /** Assignments by mid; they may come before the answer. */
  readonly #assigned = new Map<string, { track: string; participant: string | undefined }>();
  #offerId = 0;
  #answerPending = false;
  #offerWanted = false;
  #joinSent = false;
  #left = false;
  #joining: { resolve: () => void; reject: (error: SessionError) => void } | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #last: { atMs: number; bytes: number; frames: number } | null = null;

  constructor(options: SessionOptions) {
    super();
    this.#options = options;
    this.#signaling = new Signaling(options.origin);
    this.#signaling.on("message", (message) => this.#receive(message));
    this.#signaling.on("closed", ({ retry, reason }) => this.#signalingLost(retry, reason));
  }

  async join(): Promise<void> {
    if (typeof RTCPeerConnection === "undefined") {
      throw new SessionError({ code: "webrtc-unsupported", message: "This browser has no WebRTC. Choose WebTransport instead, or use another browser.", fatal: true });
    }
    this.setState("connecting");
    // The offer is made while the socket opens, so that the first message can carry it.
    let offer: Promise<void> | null = this.#newPeer();
    this.#signaling.on("open", () => {
      const ready = offer ?? this.#newPeer();
      offer = null;
      void ready.then(() => this.#sendJoin());
    });
    this.#signaling.open();
    await new Promise<void>((resolve, reject) => {
      this.#joining = { resolve, reject };
      const message = "The gateway does not answer. Check the address and that it runs.";
      setTimeout(() => this.#joining && this.#fail({ code: "no-answer", message, fatal: true }), CONNECT_TIMEOUT_MS);
    });
  }

  leave(): void {
    this.#left = true;
    this.#signaling.close();
    this.#closePeer();
    this.setParticipants([]);
    this.setState("closed");
  }

  async figures(): Promise<SessionFigures> {
    const report = await this.#peer?.getStats();
    let roundTripMs: number | null = null;
    let bytes = 0;
    let frames = 0;
    let sends = false;
    const codecs: string[] = [];
    for (const entry of report?.values() ?? []) {
      if (entry.type === "candidate-pair" && entry.nominated && entry.currentRoundTripTime !== undefined) {
        roundTripMs = entry.currentRoundTripTime * 1000;
      }
      if (entry.type !== "outbound-rtp") continue;
      sends = true;
      bytes += entry.bytesSent ?? 0;
      frames += entry.framesEncoded ?? 0;
      const mime: string | undefined = report?.get(entry.codecId)?.mimeType;
      if (mime) codecs.push(mime.replace(/^.*\//, "").toLowerCase());
    }
    const now = performance.now();
    const last = this.#last;
    this.#last = { atMs: now, bytes, frames };
    const seconds = last ? (now - last.atMs) / 1000 : 0;
    return {
      roundTripMs: roundTripMs ?? this.#signaling.roundTripMs,
      sentBps: sends && last && seconds > 0 ? ((bytes - last.bytes) * 8) / seconds : null,
      sendCodec: codecs.join("+") || null,
      sentFramesPerSecond: sends && last && seconds > 0 ? (frames - last.frames) / seconds : null,
    };
  }

  /** A fresh peer connection with its first offer made. */
  async #newPeer(): Promise<void> {
    this.#closePeer();
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.#peer = peer;
    peer.onicecandidate = ({ candidate }) => {
      // What is gathered before the join goes with its offer.
      if (peer !== this.#peer || !this.#joinSent) return;
      this.#signaling.send({
        type: "candidate",
        candidate: candidate?.candidate ?? "",
        mid: candidate?.sdpMid ?? undefined,
        index: candidate?.sdpMLineIndex ?? undefined,
        ufrag: candidate?.usernameFragment ?? undefined,
      });
    };
    peer.onconnectionstatechange = () => this.#peerState(peer);
    for (const track of this.#options.publish?.getTracks() ?? []) this.#addPublished(peer, track);
    if (this.#options.watch) {
      for (const kind of ["video", "audio"] as const) this.#addSlot(peer, kind);
    }
    await this.#makeOffer(peer);
  }

  #addPublished(peer: RTCPeerConnection, track: MediaStreamTrack): void {
    const stream = this.#options.publish;
    const transceiver = peer.addTransceiver(track, { direction: "sendonly", streams: stream ? [stream] : [] });
    if (track.kind !== "video" || this.#options.codec !== "h264") return;
    const codecs = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
    const usable = VIDEO_CODECS.toReversed().flatMap((mime) => codecs.filter((codec) => codec.mimeType === mime));
    const h264First = usable.sort((a, b) => Number(b.mimeType === "video/H264") - Number(a.mimeType === "video/H264"));
    transceiver.setCodecPreferences(h264First);
  }

  #addSlot(peer: RTCPeerConnection, kind: Kind): void {
    const transceiver = peer.addTransceiver(kind, { direction: "recvonly" });
    lowLatency(transceiver.receiver);
    this.#slots.push({ kind, transceiver });
  }

  async #makeOffer(peer: RTCPeerConnection): Promise<void> {
    this.#answerPending = true;
    this.#offerWanted = false;
    this.#offerId += 1;
    await peer.setLocalDescription(await peer.createOffer());
  }

  #sendJoin(): void {
    const { channel, name } = this.#options;
    const offer = this.#peer?.localDescription?.sdp;
    this.#joinSent = true;
    this.#signaling.send({ type: "join", version: VERSION, channel, name, ...(offer && { offer, offerId: this.#offerId }) });
    this.#watchdog(CONNECT_TIMEOUT_MS);
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case "joined":
        this.#signaling.succeeded();
        this.setParticipants(message.participants.filter((participant) => participant.id !== message.id));
        this.setState("joined");
        this.#joining?.resolve();
        this.#joining = null;
        this.#growSlots();
        break;
      case "answer":
        void this.#answer(message.id, message.sdp);
        break;
      case "candidate":
        // A candidate that the browser cannot use is one path less, no failure.
        void this.#peer?.addIceCandidate({ candidate: message.candidate, sdpMid: message.mid, sdpMLineIndex: message.index }).catch(() => undefined);
        break;
      case "receive":
        if (message.track === null) this.#assigned.delete(message.mid);
        else this.#assigned.set(message.mid, { track: message.track, participant: message.participant });
        this.#showSlots();
        break;
      case "participant":
        this.#rosterChange(message.event, message.participant);
        break;
      case "unavailable": {
        const participant = this.participants.find(({ id }) => id === message.participant)?.name;
        this.emit("problem", { code: message.reason, message: message.message, fatal: false, participant });
        break;
      }
      case "error":
        this.#fail({ code: message.code, message: message.message, fatal: message.fatal });
        break;
      case "bye":
        this.#fail({ code: "bye", message: `The gateway ended the session: ${message.reason}`, fatal: true });
        break;
      case "pong":
        break;
    }
  }

  async #answer(id: number, sdp: string): Promise<void> {
    const peer = this.#peer;
    if (!peer || id !== this.#offerId || peer.signalingState !== "have-local-offer") return;
    try {
      await peer.setRemoteDescription({ type: "answer", sdp });
    } catch (error) {
      this.#fail({ code: "bad-answer", message: `This browser does not accept the gateway's answer: ${String(error)}`, fatal: true });
      return;
    }
    this.#answerPending = false;
    this.#showSlots();
    if (this.#offerWanted) await this.#renegotiate();
  }

  #rosterChange(event: "joined" | "changed" | "left", participant: Participant): void {
    const others = this.participants.filter(({ id }) => id !== participant.id);
    this.setParticipants(event === "left" ? others : [...others, participant]);
    this.#growSlots();
    this.#showSlots();
  }

  /** One slot per track of the others; slots are never taken away, since the gateway assigns them anew. */
  #growSlots(): void {
    const peer = this.#peer;
    if (!peer || !this.#options.watch) return;
    const tracks = this.participants.flatMap((participant) => participant.tracks);
    for (const kind of ["video", "audio"] as const) {
      const wanted = tracks.filter((track) => track.kind === kind).length;
      for (let have = this.#slots.filter((slot) => slot.kind === kind).length; have < wanted; have++) {
        this.#addSlot(peer, kind);
        this.#offerWanted = true;
      }
    }
    if (this.#offerWanted && !this.#answerPending) void this.#renegotiate();
  }

  async #renegotiate(): Promise<void> {
    const peer = this.#peer;
    if (!peer || this.#answerPending) return;
    await this.#makeOffer(peer);
    this.#signaling.send({ type: "offer", id: this.#offerId, sdp: peer.localDescription?.sdp ?? "" });
  }

  #owner(track: string, participant: string | undefined): string | null {
    const owner = this.participants.find(({ id, tracks }) => id === participant || tracks.some((known) => known.id === track));
    return owner?.name ?? null;
  }

  /** Brings the views in line with what the slots are assigned to. */
  #showSlots(): void {
    const wanted = new Map<string, Map<Kind, RTCRtpReceiver>>();
    for (const slot of this.#slots) {
      const { mid } = slot.transceiver;
      const assigned = mid === null ? undefined : this.#assigned.get(mid);
      const shows = assigned ? this.#owner(assigned.track, assigned.participant) : null;
      if (!shows) continue;
      const receivers = wanted.get(shows) ?? new Map<Kind, RTCRtpReceiver>();
      if (!receivers.has(slot.kind)) receivers.set(slot.kind, slot.transceiver.receiver);
      wanted.set(shows, receivers);
    }
    for (const [name, view] of [...this.views]) {
      if (wanted.has(name)) continue;
      this.removeView(view);
      (view as WebRtcView).close();
    }
    for (const [name, receivers] of wanted) {
      const view = (this.views.get(name) as WebRtcView | undefined) ?? new WebRtcView(name);
      for (const kind of ["video", "audio"] as const) view.setReceiver(kind, receivers.get(kind) ?? null);
      if (!this.views.has(name)) this.addView(view);
    }
  }

  #peerState(peer: RTCPeerConnection): void {
    if (peer !== this.#peer) return;
    if (peer.connectionState === "connected") this.#watchdog(null);
    if (peer.connectionState === "disconnected") {
      this.#watchdog(DISCONNECTED_MS);
      this.#findAnotherPath(peer);
    }
    if (peer.connectionState === "failed") this.#mediaLost();
  }

  /** Another network may be there: what is played and sent goes on over whichever path is found first. */
  #findAnotherPath(peer: RTCPeerConnection): void {
    peer.restartIce();
    this.#offerWanted = true;
    void this.#renegotiate();
  }

  /** Starts (or with `null` stops) the timer after which the media path counts as lost. */
  #watchdog(ms: number | null): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = ms === null ? null : setTimeout(() => this.#mediaLost(), ms);
  }

  #mediaLost(): void {
    if (this.#left) return;
    const port = new URL(this.#options.origin).port;
    this.emit("problem", {
      code: "ice-failed",
      message: `No media path to the gateway. A firewall may block UDP${port ? ` port ${port}` : ""}. Trying again.`,
      fatal: false,
    });
    this.#signaling.restart();
  }

  #signalingLost(retry: boolean, reason: string): void {
    if (this.#left) return;
    this.#closePeer();
    this.setParticipants([]);
    if (retry) this.setState(this.state === "connecting" ? "connecting" : "reconnecting");
    else {
      this.setState("closed");
      this.#fail({ code: "closed", message: reason || "The gateway closed the connection.", fatal: true });
    }
  }

  #fail(problem: Problem): void {
    if (this.#joining && (problem.fatal || JOIN_ERRORS.has(problem.code))) {
      const { reject } = this.#joining;
      this.#joining = null;
      this.leave();
      reject(new SessionError(problem));
    } else if (!this.#left) this.emit("problem", problem);
  }

  #closePeer(): void {
    this.#watchdog(null);
    this.#peer?.close();
    this.#peer = null;
    this.#slots = [];
    this.#assigned.clear();
    this.#answerPending = false;
    this.#joinSent = false;
    this.#showSlots();
  }
}

/** Asks for the smallest playout delay that the network allows. */
function lowLatency(receiver: RTCRtpReceiver): void {
  if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
  if ("playoutDelayHint" in receiver) (receiver as { playoutDelayHint: number }).playoutDelayHint = 0;
}
