// What one publisher and one viewer cost the gateway: processor time and memory.
import { Results, verdict } from "../lib/figures.mjs";
import { footprint as read, startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf } from "../lib/participants.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const LIMIT_PERCENT = 2;
/** Memory may grow by this much after the first twenty seconds. */
const GROWTH_BYTES = 4 << 20;
/** The shortest run whose growth of memory is judged. */
const LEAST_SECONDS = 120;
const SETTLE_MS = 20_000;

/** `seconds` is how long each pair is watched after it has settled; default 60, in full 600. */
export async function footprint(browsers, { publishers = ["chromium-webrtc", "chromium-webtransport"], viewers = ["chromium-webrtc", "chromium-webtransport"], seconds = ["60"] } = {}) {
  const results = new Results("footprint", ["publisher", "viewer", "seconds", "cpuPercent", "sleepsPerSecond", "residentMiB", "grownKiB", "distinct"]);
  for (const from of publishers) for (const viewer of viewers) results.add(await cell(browsers, from, viewer, Number(seconds[0])));
  return results.finish();
}

async function cell(browsers, from, viewer, seconds) {
  const [browser, transport] = viewer.split("-");
  const base = { publisher: from, viewer, seconds };
  const gateway = await startGateway();
  let source;
  let page;
  try {
    source = await publisher(browsers, from, gateway, "footprint", "sender");
    page = await openPage(browsers, browser, gateway, "footprint");
    await page.join({ name: "viewer", mode: "watch", transport });
    await wait(SETTLE_MS);
    await page.reset();
    const before = await read(gateway.pid);
    await wait(seconds * 1000);
    const after = await read(gateway.pid);
    const distinct = tileOf(await page.report(), "sender")?.distinct ?? 0;
    const cpuPercent = ((after.cpuSeconds - before.cpuSeconds) / seconds) * 100;
    const grown = after.residentBytes - before.residentBytes;
    return {
      ...base,
      cpuPercent,
      sleepsPerSecond: (after.sleeps - before.sleeps) / seconds,
      residentMiB: after.residentBytes / 2 ** 20,
      grownKiB: grown / 1024,
      distinct,
      verdict: verdict({
        // Buffers are still filling in a short run: only a long one tells whether they stop.
        "memory grows": seconds < LEAST_SECONDS || grown < GROWTH_BYTES,
        "the picture stopped": distinct > seconds * 5,
      }, { [`more than ${LIMIT_PERCENT} % of a core`]: cpuPercent < LIMIT_PERCENT }),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
    await source?.close();
    await gateway.close();
  }
}
