// How soon a browser's sound and pictures fill a link of 2.5 Mb/s on the way to the gateway, also after it halves and doubles: what
// its estimate goes by is our feedback. Beside it the same link between two browsers.
import { Results, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { servePage } from "../lib/pages.mjs";
import { publisher } from "../lib/participants.mjs";
import { openRelay } from "../lib/relay.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const LINK_BPS = 2_500_000;
const DELAY_MS = 20;
const LIMIT_MS = 5000;
/** A link counts as used when so much of it carried something over a second. */
const USED = 0.9;
/** After the link has become narrower, the queue before it is gone when what waits takes less than this, */
const SHORT_QUEUE_MS = 100;
/** for so long. */
const SHORT_FOR_MS = 500;
/** The gateway may take this much longer than two browsers do where those miss the limit as well. */
const ALLOWANCE_MS = 1500;
/** What makes a cell fail: less of the link than this, and less than this share of what is used between two browsers. */
const LEAST_PERCENT = 50;
const LEAST_SHARE = 0.6;
const SAMPLE_MS = 100;
const PHASE_MS = 14_000;
/** What the encoder may make: the default for a small picture is less than the link. */
const MOST_BPS = 6_000_000;
/**
 * With noise that takes what the link has, faint enough that a low bitrate still does for it: else Firefox sends it small for long, and
 * of a small picture it makes no more than 0.6 Mb/s.
 */
const PICTURE = { width: 640, height: 360 };
const NOISE = 0.1;
/** The address of the tests' network. */
const HOST = "198.18.0.1";

export async function ramp(browsers, { publishers = ["chromium-webrtc", "firefox-webrtc"] } = {}) {
  const results = new Results("ramp", ["publisher", "to", "estimateMs", "rampMs", "halvedMs", "doubledMs", "usedPercent", "halvedPercent", "doubledPercent", "lost", "picture"]);
  for (const kind of publishers) {
    const [name] = kind.split("-");
    const direct = await betweenBrowsers(browsers, name).catch((error) => ({ error: oneLine(error) }));
    results.add({ publisher: kind, to: name, ...direct, verdict: direct.error ? `skip: no call between browsers: ${direct.error}` : verdict({}, targets(direct)) });
    results.add(await toGateway(browsers, kind, direct));
  }
  return results.finish();
}

/** What is to be reached within the limit; where two browsers miss it as well, that is said. */
function targets({ rampMs, halvedMs, doubledMs }, direct = null) {
  const phases = [
    ["used late", rampMs, direct?.rampMs],
    ["late on half of the link", halvedMs, direct?.halvedMs],
    ["late on the whole again", doubledMs, direct?.doubledMs],
  ];
  const target = ([what, ms, directMs]) => {
    const isNoWorse = direct && !direct.error && (ms ?? PHASE_MS) <= (directMs ?? PHASE_MS) + ALLOWANCE_MS;
    return [isNoWorse ? `${what}, as between two browsers` : what, ms !== null && ms <= LIMIT_MS];
  };
  return Object.fromEntries(phases.map(target));
}

async function toGateway(browsers, kind, direct) {
  const base = { publisher: kind, to: "gateway" };
  const gateway = await startGateway();
  const relay = await openRelay(gateway.port, { delayMs: DELAY_MS });
  let source;
  try {
    source = await publisher(browsers, kind, gateway, "ramp", "sender", { relay, prepare, join: { picture: PICTURE } });
    const seen = await watch(relay, source.page);
    return {
      ...base,
      ...seen,
      verdict: verdict(
        Object.fromEntries(["usedPercent", "halvedPercent", "doubledPercent"].map((key) => [`${key} is low`, seen[key] >= Math.min(LEAST_PERCENT, (direct[key] ?? LEAST_PERCENT) * LEAST_SHARE)])),
        targets(seen, direct),
      ),
    };
  } catch (error) {
    return { ...base, verdict: `FAIL: ${oneLine(error)}` };
  } finally {
    await source?.close();
    await relay.close();
    await gateway.close();
  }
}

/** The same between two pages of one browser, without any server. */
async function betweenBrowsers(browsers, name) {
  const site = await servePage("direct");
  const [sender, receiver] = [await browsers.page(name), await browsers.page(name)];
  let relay;
  try {
    await prepare(sender.page);
    for (const { page } of [sender, receiver]) {
      await page.goto(site.url);
      await page.waitForFunction("window.direct");
    }
    const offer = await sender.page.evaluate((picture) => window.direct.offer(picture), PICTURE);
    // The receiver knows no address, so that it answers where it is asked from: through the relay.
    const answer = await receiver.page.evaluate((sdp) => window.direct.answer(sdp), offer.replaceAll(/a=candidate:.*\r\n/g, ""));
    const port = answer.match(/a=candidate:\S+ 1 udp \S+ \S+ (\d+) typ host/i)?.[1];
    if (!port) throw new Error("no candidate in the answer");
    relay = await openRelay(Number(port), { rateBps: LINK_BPS, delayMs: DELAY_MS, host: HOST });
    const candidate = `a=candidate:1 1 udp 2122260223 ${HOST} ${relay.port} typ host\r\n`;
    const rerouted = answer.replaceAll(/a=candidate:.*\r\n/g, "").replace(/a=ice-ufrag/, `${candidate}a=ice-ufrag`);
    await sender.page.evaluate((sdp) => window.direct.accept(sdp), rerouted);
    return await watch(relay, sender.page);
  } finally {
    await sender.close();
    await receiver.close();
    await relay?.close();
    await site.close();
  }
}

/** Watches a link from the first media on, halves it and doubles it. */
async function watch(relay, page) {
  relay.setRate(LINK_BPS);
  const begin = Date.now();
  while (relay.upwards().bytes < 20_000 && Date.now() < begin + 10_000) await wait(20);
  const whole = await phase(relay, LINK_BPS, page);
  relay.setRate(LINK_BPS / 2);
  const half = await phase(relay, LINK_BPS / 2, page);
  relay.setRate(LINK_BPS);
  const again = await phase(relay, LINK_BPS, page);
  const { picture } = await page.evaluate(() => window.rampFigures());
  return {
    estimateMs: whole.estimateMs,
    rampMs: whole.usedMs,
    halvedMs: half.drainedMs,
    doubledMs: again.usedMs,
    usedPercent: whole.percent,
    halvedPercent: half.percent,
    doubledPercent: again.percent,
    lost: whole.lost + half.lost + again.lost,
    picture,
  };
}

/**
 * After how long the browser's own estimate was that of the link (Chromium tells it), after how long the link was used over a second, after how long the queue had become short, how much of the link was used after
 * the limit, and what was lost.
 */
async function phase(relay, linkBps, page) {
  const begin = Date.now();
  const lostBefore = relay.upwards().lost;
  const samples = [];
  const within = (ms) => samples.filter((sample) => sample.atMs > samples.at(-1).atMs - ms);
  let [estimateMs, usedMs, drainedMs] = [null, null, null];
  while (samples.length === 0 || samples.at(-1).atMs < PHASE_MS) {
    await wait(SAMPLE_MS);
    samples.push({ atMs: Date.now() - begin, ...relay.upwards() });
    const { atMs } = samples.at(-1);
    const { estimateBps, picture } = await page.evaluate(() => window.rampFigures());
    if (estimateBps >= linkBps * USED) estimateMs ??= atMs;
    if (process.env.TOMBOLO_VERBOSE) console.error(atMs, Math.round(rate(within(1050)) / 1000), Math.round(samples.at(-1).waitingMs), estimateBps, picture);
    if (atMs >= 1000 && rate(within(1050)) >= linkBps * USED) usedMs ??= atMs;
    if (atMs >= SHORT_FOR_MS && within(SHORT_FOR_MS).every(({ waitingMs }) => waitingMs < SHORT_QUEUE_MS)) drainedMs ??= atMs;
  }
  const settled = samples.filter(({ atMs }) => atMs >= LIMIT_MS);
  return { estimateMs, usedMs, drainedMs, percent: (100 * rate(settled)) / linkBps, lost: relay.upwards().lost - lostBefore };
}

/** Bits per second from the first sample to the last. */
function rate(samples) {
  const [first, last] = [samples[0], samples.at(-1)];
  return last.atMs > first.atMs ? ((last.bytes - first.bytes) * 8000) / (last.atMs - first.atMs) : 0;
}

/** Gives the page's encoder something to do, and lets it. */
async function prepare(page) {
  await page.evaluateOnNewDocument((mostBps, noiseShare) => {
    const addTransceiver = RTCPeerConnection.prototype.addTransceiver;
    RTCPeerConnection.prototype.addTransceiver = function (track, init) {
      window.rampPeer = this;
      const isVideo = track instanceof MediaStreamTrack && track.kind === "video";
      return addTransceiver.call(this, track, isVideo ? { ...init, sendEncodings: [{ maxBitrate: mostBps }] } : init);
    };
    window.rampFigures = async () => {
      const entries = [...(await window.rampPeer.getStats()).values()];
      const sent = entries.find(({ type, kind }) => type === "outbound-rtp" && kind === "video");
      const pair = entries.find(({ type, nominated }) => type === "candidate-pair" && nominated);
      return { estimateBps: pair?.availableOutgoingBitrate, picture: sent && `${sent.frameWidth}x${sent.frameHeight}` };
    };
    const captureStream = HTMLCanvasElement.prototype.captureStream;
    HTMLCanvasElement.prototype.captureStream = function () {
      const { width, height } = this;
      const canvas = () => Object.assign(document.createElement("canvas"), { width, height });
      const noise = canvas();
      const pen = noise.getContext("2d");
      const image = pen.createImageData(width, height);
      for (let i = 0; i < image.data.length; i++) image.data[i] = i % 4 === 3 ? 255 : Math.random() * 256;
      pen.putImageData(image, 0, 0);
      // A canvas of its own, so that no frame is caught between picture and noise.
      const mixed = canvas();
      const context = mixed.getContext("2d", { alpha: false });
      setInterval(() => {
        context.globalAlpha = 1;
        context.drawImage(this, 0, 0);
        context.globalAlpha = noiseShare;
        const [x, y] = [Math.random() * width, Math.random() * height];
        for (const [left, top] of [[x - width, y - height], [x, y - height], [x - width, y], [x, y]]) context.drawImage(noise, left, top);
      }, 33);
      return captureStream.call(mixed, 30);
    };
  }, MOST_BPS, NOISE);
}
