// Every way to publish against every way to watch: pictures by their barcodes, sound by its pitch, latency beside a direct call.
import { Results, percentile, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, PUBLISHERS, tileOf, until, VIEWERS } from "../lib/participants.mjs";
import { wait } from "../lib/browsers.mjs";
import { directCall } from "./direct.mjs";

const LEAST_PICTURES = 100;
/**
 * Browsers begin to hold back pictures for the sound some ten seconds into a call, when two sender reports of the sound have come, and then
 * take seconds to get there. What is compared is the call after that.
 */
const SETTLE_MS = 20_000;
/** The first second belongs to the join; what follows is the call. */
const JOINING_PICTURES = 30;
/** A cell's median may be this much above that of a direct call. */
const LATENCY_ALLOWANCE_MS = 15;
const PITCH_HZ = 1000;
const PITCH_TOLERANCE_HZ = 25;
const CELL_TIMEOUT_MS = 12_000;

/** Runs the matrix; `only` keeps the publishers and viewers whose name contains it. */
export async function matrix(browsers, { publishers = PUBLISHERS, viewers = VIEWERS } = {}) {
  const results = new Results("matrix", ["publisher", "viewer", "distinct", "wrong", "outOfOrder", "p50", "p95", "joinMs", "pitchHz", "directP50"]);
  const direct = await baselines(browsers, publishers, viewers);
  const gateway = await startGateway();
  try {
    for (const from of publishers) await row(browsers, gateway, results, from, viewers, direct);
  } finally {
    await gateway.close();
  }
  return results.finish();
}

/** Median latency of direct calls between the browsers concerned, keyed `from>to`. */
async function baselines(browsers, publishers, viewers) {
  const names = (list) => [...new Set(list.map((kind) => kind.split("-")[0]))].filter((name) => name !== "ffmpeg");
  const direct = new Map();
  for (const from of names(publishers)) {
    for (const to of names(viewers)) {
      const call = await directCall(browsers, from, to, { settleMs: SETTLE_MS }).catch(() => null);
      direct.set(`${from}>${to}`, call?.p50 ?? null);
      console.error(`direct ${from} to ${to}: p50 ${call?.p50 ?? "-"} ms, p95 ${call?.p95 ?? "-"} ms`);
    }
  }
  return direct;
}

async function row(browsers, gateway, results, from, viewers, direct) {
  const channel = `matrix-${from}`;
  const name = "sender";
  let source;
  try {
    source = await publisher(browsers, from, gateway, channel, name);
  } catch (error) {
    for (const viewer of viewers) results.add({ publisher: from, viewer, verdict: `FAIL: publishing: ${oneLine(error)}` });
    return;
  }
  if (!source) {
    for (const viewer of viewers) results.add({ publisher: from, viewer, verdict: "skip: no FFmpeg with WHIP (pip install imageio-ffmpeg)" });
    return;
  }
  try {
    // The publisher's own bandwidth estimate needs a moment before its picture is worth measuring.
    await wait(2000);
    for (const viewer of viewers) results.add(await cell(browsers, gateway, from, viewer, channel, name, direct));
  } finally {
    await source.close();
  }
}

async function cell(browsers, gateway, from, viewer, channel, name, direct) {
  const [browser, transport] = viewer.split("-");
  const base = { publisher: from, viewer };
  let page;
  try {
    page = await openPage(browsers, browser, gateway, channel);
    await page.join({ name: "viewer", mode: "watch", transport, expectBarcodes: true });
    const hasSound = await browsers.hasSound(browser);
    const complete = (report) => {
      const tile = tileOf(report, name);
      const refused = report.problems.some(({ code }) => code === "codec");
      return refused || (tile !== null && tile.distinct >= LEAST_PICTURES + 50 && (!hasSound || tile.pitchHz !== null));
    };
    let report = await until(page, complete, CELL_TIMEOUT_MS);
    let unsettled = JOINING_PICTURES;
    if (transport === "webrtc" && (tileOf(report, name)?.latencies.length ?? 0) > 0) {
      await wait(SETTLE_MS);
      const before = tileOf(await page.report(), name);
      unsettled = before?.latencies.length ?? 0;
      const least = (before?.distinct ?? 0) + LEAST_PICTURES;
      report = await until(page, (report) => (tileOf(report, name)?.distinct ?? 0) >= least, CELL_TIMEOUT_MS);
    }
    const refusal = report.problems.find(({ code }) => code === "codec");
    if (refusal && !tileOf(report, name)?.distinct) {
      // No codec in common: a clear message is what is asked for.
      const clear = from === "ffmpeg-whip" && viewer === "firefox-webrtc" && refusal.message.length > 20;
      return { ...base, message: refusal.message, verdict: clear ? `pass (told: ${refusal.message})` : `FAIL: ${refusal.message}` };
    }
    return judge(base, tileOf(report, name), report, direct.get(`${from.split("-")[0]}>${browser}`) ?? null, hasSound, unsettled);
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await page?.close();
  }
}

/** `unsettled` latencies came before what is compared; everything else is judged from the first picture on. */
function judge(base, tile, report, directP50, hasSound, unsettled) {
  if (!tile) return { ...base, verdict: `FAIL: no picture; ${report.state}; ${report.problems.map(({ message }) => message).join(" / ") || "no problem told"}` };
  const latencies = tile.latencies.slice(unsettled);
  const p50 = percentile(latencies, 0.5);
  return {
    ...base,
    distinct: tile.distinct,
    wrong: tile.wrong,
    outOfOrder: tile.outOfOrder,
    p50,
    p95: percentile(latencies, 0.95),
    joinMs: tile.firstPictureMs,
    firstLatencyMs: tile.firstLatencyMs,
    longestGapMs: tile.longestGapMs,
    pitchHz: tile.pitchHz,
    directP50,
    verdict: verdict({
      "fewer than 100 pictures": tile.distinct >= LEAST_PICTURES,
      "wrong pictures": tile.wrong === 0,
      "pictures out of order": tile.outOfOrder === 0,
      "no sound of the right pitch": !hasSound || (tile.pitchHz !== null && Math.abs(tile.pitchHz - PITCH_HZ) <= PITCH_TOLERANCE_HZ),
    }, {
      "slower than a direct call": p50 === null || directP50 === null || p50 <= directP50 + LATENCY_ALLOWANCE_MS,
    }),
  };
}

export function oneLine(error) {
  return String(error?.message ?? error).replace(/\s+/g, " ").slice(0, 200);
}
