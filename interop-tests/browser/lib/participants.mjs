// People in a channel: pages of the gateway, driven through `window.tombolo`, and encoders.
import { wait } from "./browsers.mjs";
import { publishWhip } from "./encoder.mjs";
import { reroute } from "./relay.mjs";

/**
 * Opens the page of a channel; with `relay`, everything that the page sends and gets goes through that. `anyCertificate` stands for a
 * person who goes on after the browser's warning (Chromium). `prepare` is given the page before it loads.
 */
export async function openPage(browsers, browser, gateway, channel, { width, height, relay, anyCertificate, prepare } = {}) {
  const { page, close } = await browsers.page(browser, { width, height });
  if (relay) await reroute(page, gateway.port, relay.port);
  await prepare?.(page);
  if (anyCertificate) await (await page.createCDPSession()).send("Security.setIgnoreCertificateErrors", { ignore: true });
  await page.goto(`${(relay ?? gateway).origin}/c/${channel}`, { timeout: 20_000 });
  await page.waitForFunction("window.tombolo", { timeout: 10_000 });
  return {
    page,
    close,
    join: (options) => page.evaluate((choice) => window.tombolo.join(choice), options),
    leave: () => page.evaluate(() => window.tombolo.leave()),
    report: () => page.evaluate(() => window.tombolo.report()),
    reset: () => page.evaluate(() => window.tombolo.reset()),
  };
}

/** Publishers by the name used in tables. */
export const PUBLISHERS = ["chromium-webrtc", "firefox-webrtc", "chromium-webtransport", "ffmpeg-whip"];
/** Viewers by the name used in tables. */
export const VIEWERS = ["chromium-webrtc", "firefox-webrtc", "chromium-webtransport", "firefox-webtransport"];

/** Starts publishing; `close` ends it. `null` when what it needs is not here. */
export async function publisher(browsers, kind, gateway, channel, name, options = {}) {
  if (kind === "ffmpeg-whip") return publishWhip(gateway.origin, channel, name, options.join?.picture);
  const [browser, transport] = kind.split("-");
  const page = await openPage(browsers, browser, gateway, channel, options);
  try {
    await page.join({ name, mode: "publish", source: "barcode", transport, ...options.join });
  } catch (error) {
    await page.close();
    throw error;
  }
  return page;
}

/** Reads `report()` until `done(report)` or the time is over; returns the last one. */
export async function until(page, done, timeoutMs, everyMs = 200) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const report = await page.report();
    if (done(report) || Date.now() > end) return report;
    await wait(everyMs);
  }
}

/** The tile of a participant in a report. */
export function tileOf(report, name) {
  return report.tiles.find(({ participant }) => participant === name) ?? null;
}
