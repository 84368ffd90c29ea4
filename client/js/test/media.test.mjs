import assert from "node:assert/strict";
import test from "node:test";
import { buildCatalog, byQuality, parseCatalog } from "../src/media/catalog.ts";
import { ClockAlign } from "../src/media/clock-align.ts";
import { GroupOrder } from "../src/media/group-order.ts";
import { decodeFrame, encodeFrame } from "../src/media/legacy.ts";
import { LeastDelay } from "../src/media/least-delay.ts";
import { LiveEdge } from "../src/media/live-edge.ts";

const payload = (...bytes) => ({ byteLength: bytes.length, copyTo: (target) => target.set(bytes) });

test("the legacy container keeps times of every varint length (RFC 9000 appendix A.1)", () => {
  for (const [time, head] of [[37, "25"], [15_293, "7bbd"], [494_878_333, "9d7f3e7d"], [4_611_686_018_427, "c0000431bde82d7b"]]) {
    const frame = encodeFrame(time, payload(1, 2, 3));
    assert.equal(Buffer.from(frame.subarray(0, -3)).toString("hex"), head);
    assert.deepEqual(decodeFrame(frame), { timestampUs: time, data: Uint8Array.of(1, 2, 3) });
  }
});

test("frames that are empty, cut short or without payload are refused", () => {
  for (const bytes of [[], [0x25], [0x7b], [0x7b, 0xbd], [0xc0, 0, 0]]) assert.equal(decodeFrame(Uint8Array.from(bytes)), null);
  assert.equal(decodeFrame(Uint8Array.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])), null);
  assert.throws(() => encodeFrame(-1, payload(1)), RangeError);
  assert.throws(() => encodeFrame(0.5, payload(1)), RangeError);
});

test("a catalog that was built is read back", () => {
  const video = { codec: "vp8", width: 640, height: 360, framerate: 30, bitrateBps: 900_000 };
  const audio = { codec: "opus", sampleRate: 48_000, channels: 2, bitrateBps: 64_000 };
  const catalog = parseCatalog(JSON.parse(JSON.stringify(buildCatalog({ video, audio }))));
  assert.deepEqual(catalog.video, [{ track: "video", codec: "vp8", description: undefined, width: 640, height: 360, bitrateBps: 900_000 }]);
  assert.deepEqual(catalog.audio, [{ track: "audio", codec: "opus", description: undefined, sampleRate: 48_000, channels: 2 }]);
  assert.deepEqual(parseCatalog(buildCatalog({ audio })).video, []);
});

test("renditions that cannot be played are skipped, the others are kept", () => {
  const catalog = parseCatalog({
    video: { renditions: { a: { codec: "avc1.42e01f", description: "0142", container: { kind: "legacy" } }, b: { codec: "vp8", container: { kind: "cmaf" } }, c: { codec: 7 }, d: null } },
    audio: { renditions: { x: { codec: "opus", sampleRate: 48_000 }, y: { codec: "opus", sampleRate: 48_000, numberOfChannels: 2, description: "zz" } } },
    scte35: {},
  });
  assert.deepEqual(catalog.video.map(({ track, description }) => [track, description]), [["a", Uint8Array.of(1, 0x42)]]);
  assert.deepEqual(catalog.audio.map(({ track, description }) => [track, description]), [["y", undefined]]);
  for (const wrong of [null, 1, "x", []]) assert.equal(parseCatalog(wrong), null);
  assert.deepEqual(parseCatalog({ video: [], audio: { renditions: 3 } }), { video: [], audio: [] });
});

test("the largest rendition comes first", () => {
  const sizes = byQuality([{ track: "l", codec: "vp8", width: 320, height: 180 }, { track: "h", codec: "vp8", width: 1280, height: 720 }, { track: "?", codec: "vp8" }]);
  assert.deepEqual(sizes.map(({ track }) => track), ["h", "l", "?"]);
});

test("frames of the current group are handed out at once, those of later groups after it", () => {
  const order = new GroupOrder(60);
  assert.deepEqual(order.push(7, "7a", 0), ["7a"]);
  assert.deepEqual(order.push(8, "8a", 10), []);
  assert.deepEqual(order.push(7, "7b", 20), ["7b"]);
  assert.deepEqual(order.push(9, "9a", 20), []);
  assert.deepEqual(order.end(8, 30), []);
  assert.deepEqual(order.push(7, "7c", 30), ["7c"]);
  assert.deepEqual(order.end(7, 30), ["8a", "9a"]);
  assert.deepEqual(order.push(9, "9b", 40), ["9b"]);
  assert.deepEqual(order.push(8, "late", 40), []);
  assert.deepEqual([order.seen, order.missing], [2, 0]);
});

test("a group that does not end is waited for, then given up", () => {
  const order = new GroupOrder(60);
  assert.deepEqual(order.push(1, "1a", 0), ["1a"]);
  assert.deepEqual(order.push(2, "2a", 20), []);
  assert.deepEqual(order.push(2, "2b", 79), []);
  assert.deepEqual(order.push(2, "2c", 80), ["2a", "2b", "2c"]);
  assert.deepEqual(order.push(1, "late", 81), []);
  assert.deepEqual(order.end(1, 82), []);
  assert.deepEqual(order.push(2, "2d", 90), ["2d"]);
  assert.equal(order.missing, 1);
});

test("groups that never came are counted and passed over, with what is complete behind them", () => {
  const order = new GroupOrder(60);
  assert.deepEqual(order.end(1, 0), []);
  assert.deepEqual(order.push(4, "4a", 10), []);
  assert.deepEqual(order.end(4, 20), []);
  assert.deepEqual(order.push(5, "5a", 70), ["4a", "5a"]);
  assert.deepEqual([order.seen, order.missing], [2, 2]);
});

test("an order that is full does not wait", () => {
  const order = new GroupOrder(60, 2);
  order.push(1, "a", 0);
  assert.deepEqual(order.push(2, "b", 1), []);
  assert.deepEqual(order.push(2, "c", 1), []);
  assert.deepEqual(order.push(3, "d", 1), ["b", "c"]);
});

test("a joiner that gets two seconds at once shows only the live end", () => {
  const edge = new LiveEdge();
  const stale = [];
  // 60 pictures of the past arrive 2 ms apart, then live ones at their own pace.
  for (let i = 0; i <= 60; i++) {
    edge.arrive(i * 33, 5000 + i * 2);
    if (i > 0) stale.push(edge.isStale((i - 1) * 33, 5000 + i * 2));
  }
  assert.ok(stale.every(Boolean));
  assert.ok(edge.holdMs(5120) > 0, "the last of the burst still waits for a sign of more");
  edge.arrive(61 * 33, 5000 + 60 * 2 + 33);
  assert.equal(edge.isStale(61 * 33, 5153), false);
  assert.equal(edge.holdMs(5153), 0);
});

test("a live stream is shown at once after its first picture, jitter or not", () => {
  const edge = new LiveEdge();
  edge.arrive(0, 1000);
  assert.equal(edge.holdMs(1000), 25);
  let now = 1000;
  for (let i = 1; i < 100; i++) {
    now = 1000 + i * 33 + (i % 3) * 9;
    edge.arrive(i * 33, now);
    assert.equal(edge.isStale(i * 33, now), false);
    assert.equal(edge.holdMs(now), 0);
  }
});

test("after an outage the backlog is skipped", () => {
  const edge = new LiveEdge();
  for (let i = 0; i < 30; i++) edge.arrive(i * 33, i * 33);
  const back = 30 * 33 + 1500;
  for (let i = 30; i < 75; i++) edge.arrive(i * 33, back + (i - 30));
  assert.equal(edge.isStale(30 * 33, back + 45), true);
  assert.equal(edge.isStale(74 * 33, back + 45), false);
});

test("a decoder that always holds several pictures makes none of them stale", () => {
  const edge = new LiveEdge();
  const shown = [];
  for (let i = 0; i < 60; i++) {
    edge.arrive(i * 33, i * 33);
    if (i < 6) continue;
    shown.push(!edge.isStale((i - 6) * 33, i * 33 + 5));
    edge.decoded((i - 6) * 33);
  }
  assert.ok(shown.every(Boolean));
});

test("a picture that the decoder is slow with is not stale, one that came late is", () => {
  const edge = new LiveEdge();
  for (let i = 0; i < 30; i++) edge.arrive(i * 33, i * 33);
  assert.equal(edge.isStale(10 * 33, 30 * 33), false, "it was in time, and waited twenty pictures for the decoder");
  edge.arrive(30 * 33, 30 * 33 + 300);
  edge.arrive(31 * 33, 31 * 33 + 280);
  assert.equal(edge.isStale(30 * 33, 31 * 33 + 290), true);
  edge.skip();
  assert.equal(edge.undecodedMs(5000), 0);
});

test("a path that became slower is believed after the window", () => {
  const edge = new LiveEdge();
  for (let i = 0; i < 30; i++) edge.arrive(i * 33, i * 33);
  for (let i = 30; i < 140; i++) edge.arrive(i * 33, i * 33 + 400);
  assert.ok(edge.behindMs(139 * 33, 139 * 33 + 400) < 1);
});

test("capture times are put on our clock by the quickest delivery and never go back", () => {
  const align = new ClockAlign();
  align.observe(1_000_000, 51_000_000);
  assert.equal(align.map(1_000_000), 51_000_000);
  align.observe(1_033_000, 51_090_000);
  assert.equal(align.map(1_033_000), 51_033_000, "a late delivery moves nothing");
  align.observe(1_066_000, 51_060_000);
  const moved = align.map(1_066_000);
  assert.equal(moved, 51_060_000);
  assert.ok(align.map(1_060_000) > moved);
});

test("the quickest delivery of the window tells the distance of two clocks", () => {
  const distance = new LeastDelay(1000);
  assert.equal(distance.delayMs, null);
  for (const [source, now] of [[0, 130], [100, 220], [200, 350], [300, 425]]) distance.observe(source, now);
  assert.equal(distance.delayMs, 120);
  distance.observe(1100, 1221);
  assert.equal(distance.delayMs, 121, "the quickest has left the window");
  distance.reset();
  assert.equal(distance.delayMs, null);
});

test("the oldest picture that waits to be decoded tells how far the decoder is behind", () => {
  const edge = new LiveEdge();
  assert.equal(edge.undecodedMs(0), 0);
  for (const media of [0, 33, 66]) edge.arrive(media, 1000 + media);
  assert.equal(edge.undecodedMs(1100), 100);
  edge.decoded(33);
  assert.equal(edge.undecodedMs(1110), 44, "what the decoder passed over is not waited for");
  edge.decoded(66);
  assert.equal(edge.undecodedMs(1200), 0);
});
