// A call between two pages without any server: the measure for the gateway's cells.
import { percentile } from "../lib/figures.mjs";
import { servePage } from "../lib/pages.mjs";
import { wait } from "../lib/browsers.mjs";

/** Glass-to-glass latency and sound offset of a direct call from `from` to `to`. */
export async function directCall(browsers, from, to, { seconds = 5, settleMs = 2500, flash = false } = {}) {
  const site = await servePage("direct");
  const sender = await browsers.page(from);
  const receiver = await browsers.page(to);
  try {
    await sender.page.goto(site.url);
    await receiver.page.goto(site.url);
    await Promise.all([sender, receiver].map(({ page }) => page.waitForFunction("window.direct")));
    const offer = await sender.page.evaluate((options) => window.direct.offer(options), { flash });
    const answer = await receiver.page.evaluate((sdp) => window.direct.answer(sdp), offer);
    await sender.page.evaluate((sdp) => window.direct.accept(sdp), answer);
    await wait(settleMs);
    await receiver.page.evaluate(() => window.direct.reset());
    await wait(seconds * 1000);
    const report = await receiver.page.evaluate(() => window.direct.report());
    return { ...report, p50: percentile(report.latencies, 0.5), p95: percentile(report.latencies, 0.95) };
  } finally {
    await sender.close();
    await receiver.close();
    await site.close();
  }
}

/** What the instruments add in `name`: latency and sound offset of the source seen without any network. */
export async function instrument(browsers, name, { seconds = 4, flash = true } = {}) {
  const site = await servePage("direct");
  const { page, close } = await browsers.page(name);
  try {
    await page.goto(site.url);
    await page.waitForFunction("window.direct");
    await page.evaluate((options) => window.direct.local(options), { flash });
    await wait(1500);
    await page.evaluate(() => window.direct.reset());
    await wait(seconds * 1000);
    const report = await page.evaluate(() => window.direct.report());
    return { ...report, p50: percentile(report.latencies, 0.5), p95: percentile(report.latencies, 0.95), soundBehind: percentile(report.soundBehindMs, 0.5) };
  } finally {
    await close();
    await site.close();
  }
}
