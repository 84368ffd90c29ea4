// Sound against picture, by a flash and a beep each second. What the source and the meter add themselves is taken off.
import { Results, percentile, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf } from "../lib/participants.mjs";
import { wait } from "../lib/browsers.mjs";
import { directCall, instrument } from "./direct.mjs";
import { oneLine } from "./matrix.mjs";

const LIMIT_MS = 60;
const WATCH_MS = 10_000;
const LEAST_EVENTS = 5;

export async function sync(browsers, { publishers = ["chromium-webrtc", "chromium-webtransport"], viewers = ["chromium-webrtc", "chromium-webtransport", "firefox-webtransport"] } = {}) {
  const results = new Results("sync", ["publisher", "viewer", "events", "soundBehindMs", "instrumentMs", "directMs"]);
  const own = (await instrument(browsers, "chromium")).soundBehind ?? 0;
  const direct = percentile((await directCall(browsers, "chromium", "chromium", { flash: true, seconds: 6 })).soundBehindMs, 0.5);
  const gateway = await startGateway();
  try {
    for (const from of publishers) {
      const source = await publisher(browsers, from, gateway, `sync-${from}`, "sender", { join: { source: "flash" } });
      for (const viewer of viewers) results.add(await cell(browsers, gateway, from, viewer, own, direct));
      await source.close();
    }
  } finally {
    await gateway.close();
  }
  return results.finish();
}

async function cell(browsers, gateway, from, viewer, own, direct) {
  const [browser, transport] = viewer.split("-");
  const base = { publisher: from, viewer, instrumentMs: own, directMs: direct === null ? null : direct - own };
  if (!(await browsers.hasSound(browser))) return { ...base, verdict: `skip: no sound server for ${browser} (apt-get install pulseaudio)` };
  let page;
  try {
    page = await openPage(browsers, browser, gateway, `sync-${from}`);
    await page.join({ name: "viewer", mode: "watch", transport, expectBarcodes: true });
    await wait(3000);
    await page.reset();
    await wait(WATCH_MS);
    const offsets = tileOf(await page.report(), "sender")?.soundBehindMs ?? [];
    const middle = percentile(offsets, 0.5);
    const soundBehindMs = middle === null ? null : middle - own;
    return {
      ...base,
      events: offsets.length,
      soundBehindMs,
      offsets,
      verdict: verdict({
        "too few flashes with a beep": offsets.length >= LEAST_EVENTS,
      }, { [`sound more than ${LIMIT_MS} ms off`]: soundBehindMs !== null && Math.abs(soundBehindMs) <= LIMIT_MS }),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
  }
}
