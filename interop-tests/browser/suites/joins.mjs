// Ten late joins each: how soon the first picture is there, and whether it is live.
import { Results, percentile, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf, until } from "../lib/participants.mjs";
import { openRelay } from "../lib/relay.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const JOINS = 10;
/** How far behind a picture may be that is shown as live. */
const LIVE_MS = 300;
const ROADS = [
  { road: "loopback", limitMs: 300, relay: null },
  { road: "5Mb/s+20ms", limitMs: 600, relay: { rateBps: 5_000_000, delayMs: 20 } },
];
/** The publisher is at it for this long before anybody joins. */
const CALL_AGE_MS = 12_000;

export async function joins(browsers, { publishers = ["chromium-webrtc", "chromium-webtransport"], viewers = ["chromium-webrtc", "chromium-webtransport"] } = {}) {
  const results = new Results("joins", ["publisher", "viewer", "road", "joins", "medianMs", "worstMs", "firstBehindMs", "stale", "wrong"]);
  const gateway = await startGateway();
  try {
    for (const from of publishers) {
      const channel = `joins-${from}`;
      const source = await publisher(browsers, from, gateway, channel, "sender");
      await wait(CALL_AGE_MS);
      for (const viewer of viewers) for (const road of ROADS) results.add(await tenJoins(browsers, gateway, channel, from, viewer, road));
      await source.close();
    }
  } finally {
    await gateway.close();
  }
  return results.finish();
}

async function tenJoins(browsers, gateway, channel, from, viewer, { road, limitMs, relay: limits }) {
  const [browser, transport] = viewer.split("-");
  const base = { publisher: from, viewer, road };
  const relay = limits && (await openRelay(gateway.port, limits));
  let page;
  try {
    page = await openPage(browsers, browser, gateway, channel, { relay });
    const times = [];
    const behind = [];
    let stale = 0;
    let wrong = 0;
    for (let i = 0; i < JOINS; i++) {
      await page.join({ name: `viewer-${i}`, mode: "watch", transport, expectBarcodes: true });
      const report = await until(page, (r) => (tileOf(r, "sender")?.distinct ?? 0) >= 30, 8000, 100);
      const tile = tileOf(report, "sender");
      await page.leave();
      times.push(tile?.firstPictureMs ?? Number.POSITIVE_INFINITY);
      if (tile?.firstLatencyMs !== null && tile?.firstLatencyMs !== undefined) behind.push(tile.firstLatencyMs);
      stale += tile?.latencies.filter((latency) => latency > LIVE_MS).length ?? 0;
      wrong += tile?.wrong ?? 0;
      await wait(150);
    }
    const medianMs = percentile(times, 0.5);
    return {
      ...base,
      joins: JOINS,
      medianMs,
      worstMs: Math.max(...times),
      firstBehindMs: percentile(behind, 0.5),
      stale,
      wrong,
      times,
      verdict: verdict(
        { "no picture": Number.isFinite(medianMs), "wrong pictures": wrong === 0 },
        { [`first picture after more than ${limitMs} ms`]: medianMs <= limitMs, "stale pictures": stale === 0 },
      ),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
    await relay?.close();
  }
}
