// Four publishers and four viewers of mixed kinds in one channel for two minutes: every viewer sees all four.
import { Results, percentile, verdict } from "../lib/figures.mjs";
import { footprint, startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, PUBLISHERS, tileOf, VIEWERS } from "../lib/participants.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

/** Small enough that two cores encode three of them, decode sixteen and draw nineteen, beside all that eight pages do besides. */
const PICTURE = { width: 320, height: 180, framerate: 10 };
/** The share of the pictures that a viewer should see. */
const SEEN = 0.5;
const TONES = { "chromium-webrtc": 600, "firefox-webrtc": 800, "chromium-webtransport": 1200, "ffmpeg-whip": 1000 };
const PITCH_TOLERANCE_HZ = 25;
/** A picture that stands still for longer is a freeze. */
const FREEZE_MS = 2000;

export async function four(browsers, { seconds = ["120"] } = {}) {
  const results = new Results("four", ["publisher", "viewer", "distinct", "wrong", "outOfOrder", "p50", "p95", "longestGapMs", "pitchHz"]);
  const gateway = await startGateway();
  const closing = [];
  try {
    for (const kind of PUBLISHERS) {
      const picture = { ...PICTURE, toneHz: TONES[kind] };
      const source = await publisher(browsers, kind, gateway, "four", kind, { join: { picture } });
      if (source) closing.push(source);
    }
    const viewers = new Map();
    for (const kind of VIEWERS) {
      const [browser, transport] = kind.split("-");
      const page = await openPage(browsers, browser, gateway, "four");
      closing.push(page);
      await page.join({ name: `viewer-${kind}`, mode: "watch", transport, expectBarcodes: true });
      viewers.set(kind, page);
    }
    await wait(8000);
    for (const page of viewers.values()) await page.reset();
    const before = await footprint(gateway.pid);
    await wait(Number(seconds[0]) * 1000);
    const after = await footprint(gateway.pid);
    const cpu = ((after.cpuSeconds - before.cpuSeconds) / Number(seconds[0])) * 100;
    console.error(`four: the gateway used ${cpu.toFixed(1)} % of a core and ${(after.residentBytes / 2 ** 20).toFixed(1)} MiB`);
    for (const [kind, page] of viewers) await judgeViewer(browsers, results, kind, page, Number(seconds[0]));
  } catch (error) {
    results.add({ verdict: `FAIL: ${oneLine(error)}` });
  } finally {
    for (const each of closing.reverse()) await each.close();
    await gateway.close();
  }
  return results.finish();
}

async function judgeViewer(browsers, results, viewer, page, seconds) {
  const report = await page.report();
  const hasSound = await browsers.hasSound(viewer.split("-")[0]);
  for (const kind of PUBLISHERS) {
    const base = { publisher: kind, viewer };
    const tile = tileOf(report, kind);
    const refusal = report.problems.find(({ code, participant }) => code === "codec" && participant === kind);
    if (refusal && kind === "ffmpeg-whip" && viewer === "firefox-webrtc") {
      results.add({ ...base, verdict: `pass (told: ${refusal.message})` });
      continue;
    }
    results.add({
      ...base,
      distinct: tile?.distinct,
      wrong: tile?.wrong,
      outOfOrder: tile?.outOfOrder,
      p50: percentile(tile?.latencies ?? [], 0.5),
      p95: percentile(tile?.latencies ?? [], 0.95),
      longestGapMs: tile?.longestGapMs,
      pitchHz: tile?.pitchHz,
      verdict: verdict({
        "not seen": (tile?.distinct ?? 0) > seconds,
        "wrong pictures": tile?.wrong === 0,
        "pictures out of order": tile?.outOfOrder === 0,
        "sound of somebody else": !hasSound || Math.abs((tile?.pitchHz ?? 0) - TONES[kind]) <= PITCH_TOLERANCE_HZ,
      }, {
        "too few pictures": (tile?.distinct ?? 0) > seconds * PICTURE.framerate * SEEN,
        "frozen": (tile?.longestGapMs ?? 1e9) < FREEZE_MS,
      }),
    });
  }
}
