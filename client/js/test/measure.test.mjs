import assert from "node:assert/strict";
import test from "node:test";
import { FlashAndBeep, RisingEdge } from "../src/measure/flash.ts";
import { Meter, percentile } from "../src/measure/meter.ts";
import { pitch } from "../src/measure/view-meter.ts";

test("a meter tells new, repeated, damaged and late pictures apart", () => {
  const meter = new Meter();
  const epoch = 1_800_000_000_000;
  const number = (ms) => (epoch + ms) % 2 ** 24;
  meter.push(number(0), epoch + 40, 0);
  meter.push(number(0), epoch + 56, 16);
  meter.push(number(33), epoch + 83, 43);
  meter.push(null, epoch + 90, 50);
  meter.push(number(10), epoch + 100, 60);
  meter.push(number(133), epoch + 200, 160);
  const { distinct, wrong, outOfOrder, latencies, longestGapMs } = meter.readings();
  assert.deepEqual({ distinct, wrong, outOfOrder, latencies, longestGapMs }, { distinct: 4, wrong: 1, outOfOrder: 1, latencies: [40, 50, 90, 67], longestGapMs: 100 });
});

test("a freeze is told with its length and its end", () => {
  const meter = new Meter();
  const epoch = 1_800_000_000_000;
  for (const ms of [0, 33, 66, 1600, 1633]) meter.push((epoch + ms) % 2 ** 24, epoch + ms + 30, ms);
  assert.deepEqual(meter.readings().freezes, [{ ms: 1534, endedAtEpochMs: epoch + 1630 }]);
});

test("frame counts are no clock", () => {
  const meter = new Meter();
  const epoch = 1_800_000_000_000;
  for (let i = 0; i < 5; i++) meter.push(i, epoch + i * 33, i * 33);
  assert.equal(meter.readings().distinct, 5);
  assert.deepEqual(meter.readings().latencies, []);
});

test("percentiles are taken by nearest rank", () => {
  const values = [5, 1, 4, 2, 3];
  assert.equal(percentile(values, 0.5), 3);
  assert.equal(percentile(values, 0.95), 5);
  assert.equal(percentile([], 0.5), null);
  assert.deepEqual(values, [5, 1, 4, 2, 3]);
});

test("an edge needs a low time before it, the first included", () => {
  const edge = new RisingEdge(10, 20);
  assert.deepEqual([30, 5, 15, 25, 30, 15, 25, 5, 25].map((level) => edge.push(level)), [false, false, false, true, false, false, false, false, true]);
});

test("flashes and beeps are paired in either order, lone ones are left out", () => {
  const pairs = new FlashAndBeep();
  pairs.flash(1000);
  pairs.beep(1030);
  pairs.beep(1980);
  pairs.flash(2000);
  pairs.flash(3000);
  pairs.flash(4000);
  pairs.beep(4010);
  assert.deepEqual(pairs.offsets(), [30, -20, 10]);
});

test("the pitch of a spectrum is found between its bins", () => {
  const rate = 48_000;
  const bins = 2048;
  const hertz = 1000;
  const centre = (hertz * 2 * bins) / rate;
  const spectrum = Float32Array.from({ length: bins }, (_, i) => -20 - 6 * (i - centre) ** 2);
  assert.ok(Math.abs(pitch(spectrum, rate) - hertz) < 2);
  assert.equal(pitch(new Float32Array(bins).fill(-90), rate), null);
});
