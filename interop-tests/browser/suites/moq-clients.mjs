// The unmodified npm clients @moq/publish and @moq/watch against the gateway, in Chromium.
import { Results, percentile, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { servePage } from "../lib/pages.mjs";
import { openPage, publisher, tileOf, until } from "../lib/participants.mjs";
import { oneLine } from "./matrix.mjs";

const LEAST_PICTURES = 100;
const PITCH_HZ = 1000;
const PITCH_TOLERANCE_HZ = 25;
const CELL_TIMEOUT_MS = 15_000;

export async function moqClients(browsers, { publishers = ["@moq/publish", "chromium-webrtc", "chromium-webtransport", "ffmpeg-whip"], viewers = ["chromium-webrtc", "chromium-webtransport", "@moq/watch"] } = {}) {
  const results = new Results("moq-clients", ["publisher", "viewer", "distinct", "wrong", "outOfOrder", "p50", "p95", "pitchHz"]);
  const gateway = await startGateway();
  const site = await servePage("moq");
  try {
    for (const from of publishers) {
      const channel = `moq-${from.replace(/\W/g, "")}`;
      const source = await publish(browsers, gateway, site, from, channel);
      if (!source) {
        results.add({ publisher: from, verdict: "skip: no FFmpeg with WHIP (pip install imageio-ffmpeg)" });
        continue;
      }
      for (const viewer of viewers) {
        // Only cells with one of the npm clients belong here; the rest is the matrix.
        if (from.startsWith("@") || viewer.startsWith("@")) results.add(await cell(browsers, gateway, site, from, viewer, channel));
      }
      await source.close();
    }
  } finally {
    await site.close();
    await gateway.close();
  }
  return results.finish();
}

async function publish(browsers, gateway, site, from, channel) {
  if (from !== "@moq/publish") return publisher(browsers, from, gateway, channel, "sender");
  const client = await openClient(browsers, site);
  await client.page.evaluate((url) => window.moq.publish(url, "sender.hang"), `${gateway.origin}/${channel}?name=sender`);
  return client;
}

async function openClient(browsers, site) {
  const { page, close } = await browsers.page("chromium");
  await page.goto(site.url);
  await page.waitForFunction("window.moq", { timeout: 10_000 });
  return { page, close, report: () => page.evaluate(() => window.moq.report()) };
}

async function cell(browsers, gateway, site, from, viewer, channel) {
  const base = { publisher: from, viewer };
  const done = (readings) => readings !== null && readings.distinct >= LEAST_PICTURES + 30 && readings.pitchHz !== null;
  let page;
  try {
    let readings;
    if (viewer === "@moq/watch") {
      page = await openClient(browsers, site);
      await page.page.evaluate((url) => window.moq.watch(url, "sender.hang"), `${gateway.origin}/${channel}?name=npm-viewer`);
      readings = await until(page, done, CELL_TIMEOUT_MS);
    } else {
      const [browser, transport] = viewer.split("-");
      page = await openPage(browsers, browser, gateway, channel);
      await page.join({ name: "viewer", mode: "watch", transport, expectBarcodes: true });
      readings = tileOf(await until(page, (report) => done(tileOf(report, "sender")), CELL_TIMEOUT_MS), "sender");
    }
    return {
      ...base,
      distinct: readings?.distinct,
      wrong: readings?.wrong,
      outOfOrder: readings?.outOfOrder,
      p50: percentile(readings?.latencies ?? [], 0.5),
      p95: percentile(readings?.latencies ?? [], 0.95),
      pitchHz: readings?.pitchHz,
      verdict: verdict({
        "fewer than 100 pictures": (readings?.distinct ?? 0) >= LEAST_PICTURES,
        "wrong pictures": readings?.wrong === 0,
        "pictures out of order": readings?.outOfOrder === 0,
        "no sound of the right pitch": Math.abs((readings?.pitchHz ?? 0) - PITCH_HZ) <= PITCH_TOLERANCE_HZ,
      }),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
  }
}
