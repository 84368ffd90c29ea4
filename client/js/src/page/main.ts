/** The page at `/c/CHANNEL`. */

import { joinChannel } from "../join.ts";
import { resumeAudio } from "../media/audio-context.ts";
import { Signaling, VERSION } from "../signaling.ts";
import { camera, type Source, testPicture } from "../source.ts";
import { type Participant, type Problem, type RemoteView, type Session, SessionError, type SessionFigures, type ViewFigures } from "../types.ts";
import type { PageJoin, PageReport } from "./automation.ts";
import { kilobits, Tile } from "./tile.ts";

const REFRESH_MS = 1000;
/** Problems shown at once; the oldest make room. */
const MOST_PROBLEMS = 4;
const STATES = { idle: "Not joined", connecting: "Joining…", joined: "Joined", reconnecting: "Connection lost, trying again…", closed: "Not joined" };
const VIA: Record<string, string> = { webrtc: "WebRTC", webtransport: "WebTransport", whip: "WHIP", whep: "WHEP" };

const channel = decodeURIComponent(location.pathname.match(/\/c\/([^/]+)/)?.[1] ?? "demo");
const form = element("controls", HTMLFormElement);
const fields = {
  name: element("name", HTMLInputElement),
  mode: element("mode", HTMLSelectElement),
  source: element("source", HTMLSelectElement),
  transport: element("transport", HTMLSelectElement),
};
const buttons = {
  join: element("join", HTMLButtonElement),
  leave: element("leave", HTMLButtonElement),
  mute: element("mute", HTMLButtonElement),
};

let session: Session | null = null;
let source: Source | null = null;
let observer: Signaling | null = null;
let joinedAtMs = 0;
let joinMs: number | null = null;
let muted = false;
let expectBarcodes = false;
let joining = false;
let lastFigures: SessionFigures | null = null;
let problems: Problem[] = [];
let ownTile: Tile | null = null;
const tiles = new Map<string, { tile: Tile; figures: ViewFigures | null }>();
const notes = new Map<string, string>();

/** Joins with what the form says, changed by `changes`. */
async function join(changes: Partial<PageJoin> = {}): Promise<void> {
  if (joining || session) throw new SessionError({ code: "joined", message: "Leave before joining again.", fatal: false });
  joining = true;
  stopObserving();
  clearProblems();
  buttons.join.disabled = true;
  const choice: PageJoin = { ...formChoice(), ...changes };
  fields.name.value = choice.name;
  joinMs = null;
  expectBarcodes = choice.expectBarcodes ?? false;
  resumeAudio();
  try {
    if (choice.mode !== "watch") {
      source = choice.source === "camera" ? await camera() : testPicture({ ...choice.picture, flash: choice.source === "flash" });
      showOwn(choice.name, source.stream);
    }
    joinedAtMs = performance.now();
    const options = {
      origin: location.origin,
      channel,
      name: choice.name,
      watch: choice.mode !== "publish",
      transport: choice.transport,
      ...(source && { publish: source.stream }),
      ...(choice.codec && { codec: choice.codec }),
    };
    session = await joinChannel(options, listen);
    joinMs = performance.now() - joinedAtMs;
    render();
  } catch (error) {
    const problem = error instanceof SessionError ? error.problem : { code: "join", message: `Joining failed: ${String(error)}`, fatal: true };
    leave();
    showProblem(problem);
    throw error;
  } finally {
    joining = false;
    render();
  }
}

/** Leaves and stops publishing. */
function leave(): void {
  const left = session;
  session = null;
  left?.leave();
  source?.stop();
  source = null;
  ownTile?.close();
  ownTile = null;
  for (const name of [...tiles.keys()]) closeTile(name);
  notes.clear();
  lastFigures = null;
  render();
  observe();
}

function listen(next: Session): void {
  const current = () => session === null || session === next;
  next.on("state", (state) => {
    if (state === "closed" && session === next) leave();
    else if (current()) setStatus(STATES[state]);
  });
  next.on("participants", () => current() && render(next));
  next.on("view", (view) => openTile(view));
  next.on("viewclosed", (view) => closeTile(view.participant));
  next.on("problem", showProblem);
}

function openTile(view: RemoteView): void {
  closeTile(view.participant);
  const tile = new Tile(view.participant, view.element, view, joinedAtMs, expectBarcodes);
  view.setMuted(muted);
  tile.note = notes.get(view.participant) ?? "";
  tiles.set(view.participant, { tile, figures: null });
  element("grid", HTMLElement).append(tile.element);
  render();
}

function closeTile(name: string): void {
  tiles.get(name)?.tile.close();
  tiles.delete(name);
  render();
}

function showOwn(name: string, stream: MediaStream): void {
  const video = document.createElement("video");
  video.muted = true;
  video.autoplay = true;
  video.playsInline = true;
  video.srcObject = stream;
  ownTile = new Tile(`${name} (you)`, video, null, performance.now(), false);
  element("grid", HTMLElement).prepend(ownTile.element);
}

/** Brings the page in line with the session; `people` may come from a session that is still joining. */
function render(from: Session | null = session): void {
  const participants = from?.participants ?? [];
  const active = session !== null;
  if (!active && !joining) setStatus(STATES.idle);
  else if (session?.state === "joined") setStatus(`Joined over ${VIA[session.transport]}`);
  buttons.join.hidden = active;
  buttons.join.disabled = joining;
  buttons.leave.hidden = !active;
  buttons.mute.hidden = tiles.size === 0;
  for (const field of Object.values(fields)) field.disabled = active || joining;
  element("empty", HTMLElement).hidden = tiles.size > 0 || ownTile !== null;
  if (ownTile && session) ownTile.via = VIA[session.transport] ?? "";
  for (const { name, transport } of participants) {
    const open = tiles.get(name);
    if (open) open.tile.via = VIA[transport] ?? transport;
  }
  if (from) showPeople(participants);
}

function showPeople(participants: readonly Participant[]): void {
  const list = element("people", HTMLElement);
  const own = session ? [{ name: `${fields.name.value} (you)`, transport: session.transport as string, tracks: [] }] : [];
  const all = [...own, ...participants];
  element("count", HTMLElement).textContent = String(all.length);
  list.replaceChildren(
    ...all.map(({ name, transport, tracks }) => {
      const item = document.createElement("li");
      const detail = document.createElement("span");
      detail.textContent = [VIA[transport] ?? transport, ...tracks.map((track) => track.codec)].filter(Boolean).join(" · ");
      item.append(name, " ", detail);
      return item;
    }),
  );
}

function showProblem(problem: Problem): void {
  problems.push(problem);
  if (problem.participant) {
    notes.set(problem.participant, problem.message);
    const open = tiles.get(problem.participant);
    if (open) {
      open.tile.note = problem.message;
      return;
    }
  }
  const list = element("problems", HTMLElement);
  const item = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = problem.message;
  const dismiss = document.createElement("button");
  dismiss.type = "button";
  dismiss.textContent = "Dismiss";
  dismiss.onclick = () => item.remove();
  item.append(text, dismiss);
  list.append(item);
  while (list.children.length > MOST_PROBLEMS) list.firstElementChild?.remove();
}

function clearProblems(): void {
  problems = [];
  element("problems", HTMLElement).replaceChildren();
}

async function refresh(): Promise<void> {
  for (const open of tiles.values()) open.figures = await open.tile.refresh();
  lastFigures = session ? await session.figures() : null;
  const rows: [string, string][] = [];
  const add = (label: string, value: string | number | null | undefined, unit = "") => {
    if (value !== null && value !== undefined) rows.push([label, `${value}${unit}`]);
  };
  add("Transport", session && VIA[session.transport]);
  add("Round trip", lastFigures?.roundTripMs?.toFixed(0), " ms");
  add("Sending", lastFigures?.sentBps === null || !lastFigures ? null : kilobits(lastFigures.sentBps));
  add("Frames sent", lastFigures?.sentFramesPerSecond?.toFixed(0), " /s");
  add("Codec", lastFigures?.sendCodec);
  element("figures", HTMLElement).replaceChildren(
    ...rows.flatMap(([label, value]) => {
      const term = document.createElement("dt");
      term.textContent = label;
      const detail = document.createElement("dd");
      detail.textContent = value;
      return [term, detail];
    }),
  );
}

/** Listens to who is in the channel before joining. */
function observe(): void {
  if (observer || session || joining) return;
  let people: Participant[] = [];
  const socket = new Signaling(location.origin);
  observer = socket;
  socket.on("open", () => socket.send({ type: "join", version: VERSION, channel, observe: true }));
  socket.on("message", (message) => {
    if (message.type === "joined") {
      socket.succeeded();
      people = message.participants;
    } else if (message.type === "participant") {
      people = people.filter(({ id }) => id !== message.participant.id);
      if (message.event !== "left") people.push(message.participant);
    } else return;
    if (observer === socket) showPeople(people);
  });
  socket.open();
}

function stopObserving(): void {
  observer?.close();
  observer = null;
}

function report(): PageReport {
  return {
    state: session?.state ?? (joining ? "connecting" : "idle"),
    transport: session?.transport ?? null,
    joinMs,
    participants: [...(session?.participants ?? [])],
    tiles: [...tiles].flatMap(([participant, { tile, figures }]) =>
      tile.meter ? [{ participant, figures, ...tile.meter.measurements() }] : [],
    ),
    figures: lastFigures,
    problems: [...problems],
  };
}

function formChoice(): PageJoin {
  return {
    name: fields.name.value.trim() || guestName(),
    mode: fields.mode.value as PageJoin["mode"],
    source: fields.source.value as PageJoin["source"],
    transport: fields.transport.value as PageJoin["transport"],
  };
}

function guestName(): string {
  return `guest-${Math.random().toString(36).slice(2, 6)}`;
}

function setStatus(text: string): void {
  element("status", HTMLElement).textContent = text;
}

function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
  return found;
}

function start(): void {
  const query = new URLSearchParams(location.search);
  element("channel", HTMLElement).textContent = channel;
  document.title = `${channel} · Tombolo`;
  for (const [key, field] of Object.entries(fields)) {
    const value = query.get(key);
    if (value === null) continue;
    if (field instanceof HTMLInputElement || [...field.options].some((option) => option.value === value)) field.value = value;
  }
  fields.name.value ||= guestName();
  form.onsubmit = (event) => {
    event.preventDefault();
    // What went wrong is on the page already.
    join().catch(() => undefined);
  };
  buttons.leave.onclick = leave;
  buttons.mute.onclick = () => {
    muted = !muted;
    buttons.mute.setAttribute("aria-pressed", String(muted));
    buttons.mute.textContent = muted ? "Unmute all" : "Mute all";
    for (const { tile } of tiles.values()) tile.view?.setMuted(muted);
  };
  document.addEventListener("pointerdown", resumeAudio);
  document.addEventListener("keydown", resumeAudio);
  addEventListener("pagehide", leave);
  setInterval(() => void refresh(), REFRESH_MS);
  window.tombolo = { join, leave, report, reset: () => tiles.forEach(({ tile }) => tile.meter?.reset()) };
  observe();
  if (query.get("join") === "1") join().catch(() => undefined);
}

start();
