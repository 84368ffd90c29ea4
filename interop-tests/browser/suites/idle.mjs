// Nobody watches for 30 s, then the first viewer comes: no stale and no frozen picture, in both directions.
import { Results, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf } from "../lib/participants.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const IDLE_MS = 30_000;
const LIVE_MS = 300;
const WATCH_MS = 4000;

export async function idle(browsers, { publishers = ["chromium-webrtc", "chromium-webtransport"], viewers = ["chromium-webrtc", "chromium-webtransport"] } = {}) {
  const results = new Results("idle", ["publisher", "viewer", "joinMs", "firstBehindMs", "stale", "longestGapMs", "distinct", "wrong"]);
  const gateway = await startGateway();
  try {
    for (const viewer of viewers) {
      const sources = [];
      for (const from of publishers) sources.push({ from, source: await publisher(browsers, from, gateway, `idle-${from}-${viewer}`, "sender") });
      await wait(IDLE_MS);
      for (const { from, source } of sources) {
        results.add(await cell(browsers, gateway, from, viewer));
        await source.close();
      }
    }
  } finally {
    await gateway.close();
  }
  return results.finish();
}

async function cell(browsers, gateway, from, viewer) {
  const [browser, transport] = viewer.split("-");
  const base = { publisher: from, viewer };
  let page;
  try {
    page = await openPage(browsers, browser, gateway, `idle-${from}-${viewer}`);
    await page.join({ name: "viewer", mode: "watch", transport, expectBarcodes: true });
    await wait(WATCH_MS);
    const tile = tileOf(await page.report(), "sender");
    const stale = tile?.latencies.filter((latency) => latency > LIVE_MS).length ?? null;
    return {
      ...base,
      joinMs: tile?.firstPictureMs,
      firstBehindMs: tile?.firstLatencyMs,
      stale,
      longestGapMs: tile?.longestGapMs,
      distinct: tile?.distinct,
      wrong: tile?.wrong,
      verdict: verdict({
        "no picture": (tile?.distinct ?? 0) > 0,
        "wrong pictures": tile?.wrong === 0,
      }, {
        "stale pictures": stale === 0,
        "frozen pictures": (tile?.longestGapMs ?? 1e9) < 500 && (tile?.distinct ?? 0) > 60,
      }),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
  }
}
