// A viewer over WebRTC behind a road that loses datagrams: what is repaired without asking, by the browser's own count.
import { Results, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf } from "../lib/participants.mjs";
import { openRelay } from "../lib/relay.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const LOSS = 0.05;
const DELAY_MS = 40;
const SETTLE_MS = 5000;
const WATCH_MS = 10_000;
const LEAST_PICTURES_PER_S = 20;
const MOST_CONCEALED = 0.01;
/** A packet of sound with the one before it, against one alone. Chromium does not count what RED brings. */
const LEAST_GROWTH = 1.5;

/** Chromium takes FlexFEC and RED where it only receives; Firefox offers neither, and is repaired by NACK alone. */
const VIEWERS = ["chromium", "firefox"];

export async function fec(browsers, { viewers = VIEWERS } = {}) {
  const results = new Results("fec", ["viewer", "lossPercent", "pictureRepairs", "soundGrowth", "cleanRepairs", "picturesPerS", "wrong", "concealedPercent"]);
  for (const viewer of viewers) results.add(await cell(browsers, viewer));
  return results.finish();
}

async function cell(browsers, viewer) {
  const base = { viewer, lossPercent: LOSS * 100 };
  const gateway = await startGateway({ args: ["--repair"] });
  const relay = await openRelay(gateway.port, { delayMs: DELAY_MS });
  let source;
  let page;
  try {
    source = await publisher(browsers, "chromium-webrtc", gateway, "fec", "sender");
    page = await openPage(browsers, viewer, gateway, "fec", { relay, prepare: keepPeers });
    await page.join({ name: "viewer", mode: "watch", transport: "webrtc", expectBarcodes: true });
    await wait(SETTLE_MS);
    const clean = await received(page);
    const cleanPacket = clean.audio.bytesReceived / clean.audio.packetsReceived;
    relay.loseDown(LOSS);
    await wait(SETTLE_MS);
    const before = await received(page);
    await page.reset();
    await wait(WATCH_MS);
    const after = await received(page);
    const tile = tileOf(await page.report(), "sender");
    const more = (kind, name) => after[kind][name] - before[kind][name];
    const picturesPerS = more("video", "framesDecoded") / (WATCH_MS / 1000);
    const concealed = more("audio", "concealedSamples") / Math.max(1, more("audio", "totalSamplesReceived"));
    const growth = more("audio", "bytesReceived") / more("audio", "packetsReceived") / cleanPacket;
    const cleanRepairs = clean.video.fecPacketsReceived;
    const repairs = viewer === "chromium";
    return {
      ...base,
      pictureRepairs: more("video", "fecPacketsReceived"),
      soundGrowth: growth,
      cleanRepairs,
      picturesPerS,
      wrong: tile?.wrong,
      concealedPercent: concealed * 100,
      verdict: verdict({
        "no FlexFEC under loss": !repairs || more("video", "fecPacketsReceived") > 0,
        "no RED under loss": !repairs || growth >= LEAST_GROWTH,
        "repairs without loss": cleanRepairs === 0,
        "wrong pictures": tile?.wrong === 0,
        "sound concealed": !repairs || concealed <= MOST_CONCEALED,
      }, { [`fewer than ${LEAST_PICTURES_PER_S} pictures a second`]: picturesPerS >= LEAST_PICTURES_PER_S }),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
    await source?.close();
    await relay.close();
    await gateway.close();
  }
}

/** Has a page remember its peer connections, for their statistics. */
function keepPeers(page) {
  return page.evaluateOnNewDocument(() => {
    const Original = RTCPeerConnection;
    window.peers = [];
    window.RTCPeerConnection = class extends Original {
      constructor(...args) {
        super(...args);
        window.peers.push(this);
      }
    };
  });
}

/** The counts of what the page receives, by kind; what a browser does not count is 0. */
async function received(page) {
  return page.page.evaluate(async () => {
    const names = ["fecPacketsReceived", "framesDecoded", "packetsReceived", "bytesReceived", "concealedSamples", "totalSamplesReceived"];
    const sums = { audio: {}, video: {} };
    for (const kind of Object.values(sums)) for (const name of names) kind[name] = 0;
    for (const peer of window.peers) {
      for (const report of (await peer.getStats()).values()) {
        if (report.type !== "inbound-rtp") continue;
        for (const name of names) sums[report.kind][name] += report[name] ?? 0;
      }
    }
    return sums;
  });
}
