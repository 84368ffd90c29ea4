import assert from "node:assert/strict";
import test from "node:test";
import { buildCatalog, byQuality, parseCatalog } from "../src/media/catalog.ts";
import { ClockAlign } from "../src/media/clock-align.ts";
import { decodeFrame, encodeFrame } from "../src/media/legacy.ts";
import { LeastDelay } from "../src/media/least-delay.ts";
import { LiveEdge } from "../src/media/live-edge.ts";
import { Reorder } from "../src/media/reorder.ts";

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

test("sequence numbers are put in order, old and repeated ones dropped", () => {
  const order = new Reorder(60);
  assert.deepEqual([[7, "a"], [9, "c"], [8, "b"], [8, "again"], [3, "old"], [10, "d"]].flatMap(([n, v]) => order.push(n, v, 0)), ["a", "b", "c", "d"]);
  assert.equal(order.missing, 0);
});

test("a missing number is waited for, then given up", () => {
  const order = new Reorder(60);
  assert.deepEqual(order.push(1, "a", 0), ["a"]);
  assert.deepEqual(order.push(3, "c", 20), []);
  assert.deepEqual(order.push(4, "d", 40), []);
  assert.equal(order.waitMs(40), 40);
  assert.deepEqual(order.poll(79), []);
  assert.deepEqual(order.poll(80), ["c", "d"]);
  assert.equal(order.missing, 1);
  assert.equal(order.waitMs(90), null);
  assert.deepEqual(order.push(2, "b", 90), []);
});

test("a queue that is full does not wait", () => {
  const order = new Reorder(60, 2);
  order.push(1, "a", 0);
  assert.deepEqual(order.push(3, "c", 1), []);
  assert.deepEqual(order.push(4, "d", 1), ["c", "d"]);
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
    edge.decoded((i - 6) * 33, i * 33 + 5);
    shown.push(!edge.isStale((i - 6) * 33, i * 33 + 5));
  }
  assert.ok(shown.every(Boolean));
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
