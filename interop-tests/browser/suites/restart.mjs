// A page that looks for another path in the middle of a call (ICE restart): both ends have new credentials, and the pictures go on.
import { Results, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf, until } from "../lib/participants.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const FREEZE_MS = 500;
const PATIENCE_MS = 10_000;

/** Each browser once as the one that restarts, on either side; the other side is the first of its kind. */
export async function restart(browsers, { publishers = ["chromium-webrtc", "firefox-webrtc"], viewers = ["chromium-webrtc", "firefox-webrtc"] } = {}) {
  const results = new Results("restart", ["publisher", "viewer", "side", "restarts", "distinct", "wrong", "frozenMs"]);
  for (const viewer of viewers) results.add(await cell(browsers, publishers[0], viewer, "viewer"));
  for (const from of publishers) results.add(await cell(browsers, from, viewers[0], "publisher"));
  return results.finish();
}

async function cell(browsers, from, viewer, side) {
  const base = { publisher: from, viewer, side };
  const gateway = await startGateway();
  let source;
  let page;
  try {
    const watched = { prepare: (page) => page.evaluateOnNewDocument(keepPeers) };
    source = await publisher(browsers, from, gateway, "restart", "sender", side === "publisher" ? watched : {});
    page = await openPage(browsers, viewer.split("-")[0], gateway, "restart", side === "viewer" ? watched : {});
    await page.join({ name: "viewer", mode: "watch", transport: "webrtc", expectBarcodes: true });
    await until(page, (report) => (tileOf(report, "sender")?.distinct ?? 0) > 30, PATIENCE_MS);
    await page.reset();
    const restarted = (side === "viewer" ? page : source).page;
    const before = await restarted.evaluate(credentials);
    await restarted.evaluate(lookElsewhere);
    await wait(4000);
    const after = await restarted.evaluate(credentials);
    const tile = tileOf(await page.report(), "sender");
    const frozenMs = tile?.freezes.reduce((longest, { ms }) => Math.max(longest, ms), 0);
    const changed = before.local !== after.local && before.remote !== after.remote;
    return {
      ...base,
      restarts: Number(changed),
      distinct: tile?.distinct,
      wrong: tile?.wrong,
      frozenMs,
      verdict: verdict({
        "the credentials stayed": changed,
        "not connected": after.state === "connected" && after.ice !== "failed",
        "few pictures": (tile?.distinct ?? 0) >= 60,
        "wrong pictures": tile?.wrong === 0,
      }, {
        [`frozen for more than ${FREEZE_MS} ms`]: frozenMs <= FREEZE_MS,
      }),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
    await source?.close();
    await gateway.close();
  }
}

// In the page.

/** Keeps what connections the page makes. */
function keepPeers() {
  window.peers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
      super(...options);
      window.peers.push(this);
    }
  };
}

function credentials() {
  const peer = window.peers.at(-1);
  const ufrag = (description) => /a=ice-ufrag:(\S+)/.exec(description?.sdp ?? "")?.[1];
  return {
    local: ufrag(peer.localDescription),
    remote: ufrag(peer.remoteDescription),
    state: peer.connectionState,
    ice: peer.iceConnectionState,
  };
}

/** What the page is told when its path seems lost. */
function lookElsewhere() {
  const peer = window.peers.at(-1);
  Object.defineProperty(peer, "connectionState", { value: "disconnected", configurable: true });
  peer.onconnectionstatechange();
  delete peer.connectionState;
  // The state that counts never left.
  peer.onconnectionstatechange();
}
