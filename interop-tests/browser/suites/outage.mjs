// 1.5 s without any packet, on the viewer's road and on the publisher's: a clean, live picture within 500 ms of the first packet.
import { Results, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf } from "../lib/participants.mjs";
import { openRelay } from "../lib/relay.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const OUTAGE_MS = 1500;
const LIMIT_MS = 500;
const LIVE_MS = 300;

export async function outage(browsers, { publishers = ["chromium-webrtc", "chromium-webtransport"], viewers = ["chromium-webrtc", "chromium-webtransport"], sides = ["viewer", "publisher"] } = {}) {
  const results = new Results("outage", ["publisher", "viewer", "side", "recoveryMs", "frozenMs", "wrong", "behindAfterMs"]);
  for (const side of sides) {
    for (const from of publishers) for (const viewer of viewers) results.add(await cell(browsers, from, viewer, side));
  }
  return results.finish();
}

async function cell(browsers, from, viewer, side) {
  const base = { publisher: from, viewer, side };
  const [browser, transport] = viewer.split("-");
  const gateway = await startGateway();
  const relay = await openRelay(gateway.port);
  const channel = "outage";
  let source;
  let page;
  try {
    source = await publisher(browsers, from, gateway, channel, "sender", side === "publisher" ? { relay } : {});
    page = await openPage(browsers, browser, gateway, channel, side === "viewer" ? { relay } : {});
    await page.join({ name: "viewer", mode: "watch", transport, expectBarcodes: true });
    await wait(4000);
    await page.reset();
    await wait(500);
    await relay.outage(OUTAGE_MS);
    await wait(3500);
    const tile = tileOf(await page.report(), "sender");
    const freeze = tile?.freezes.reduce((longest, next) => (next.ms > longest.ms ? next : longest), { ms: 0, endedAtEpochMs: 0 });
    const first = relay.firstAfterOutage()[side === "viewer" ? "down" : "up"];
    const recoveryMs = freeze && first ? freeze.endedAtEpochMs - first : null;
    const behindAfterMs = tile ? Math.max(...tile.latencies.slice(-30)) : null;
    return {
      ...base,
      recoveryMs,
      frozenMs: freeze?.ms,
      wrong: tile?.wrong,
      behindAfterMs,
      verdict: verdict({
        "no picture came back": (freeze?.ms ?? 0) > 0,
        "wrong pictures": tile?.wrong === 0,
      }, {
        [`more than ${LIMIT_MS} ms after the first packet`]: recoveryMs !== null && recoveryMs <= LIMIT_MS,
        "not live afterwards": behindAfterMs !== null && behindAfterMs <= LIVE_MS,
      }),
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
