import assert from "node:assert/strict";
import test from "node:test";
import { PcmQueue } from "../src/media/pcm-queue.ts";

const RATE = 48_000;
const chunk = (value, frames = 960) => [new Float32Array(frames).fill(value)];
const quantum = () => [new Float32Array(128), new Float32Array(128)];

/** Pushes 20 ms chunks and pulls quanta in real time for `ms`; `late(i)` delays chunk i, and those behind it, by so many ms. */
function run(queue, ms, late = () => 0, rate = RATE) {
  const heard = [];
  let next = 0;
  let latest = 0;
  const arrivals = Array.from({ length: ms / 20 }, (_, i) => ({ i, at: (latest = Math.max(latest, i * 20 + late(i))) }));
  for (let t = 0; t < ms; t += (128 / rate) * 1000) {
    while (arrivals[next] && arrivals[next].at <= t) {
      queue.push(arrivals[next].i * 20_000, RATE, chunk(0.5));
      next += 1;
    }
    const output = quantum();
    queue.pull(output);
    heard.push(output[0][64]);
  }
  return heard;
}

test("sound begins at the target and goes on without a gap", () => {
  const queue = new PcmQueue(RATE);
  const heard = run(queue, 3000);
  const first = heard.findIndex((sample) => sample !== 0);
  const beginMs = (first * 128 * 1000) / RATE;
  assert.ok(beginMs >= 19 && beginMs <= 45, `began after ${beginMs} ms`);
  assert.ok(heard.slice(first).every((sample) => Math.abs(sample - 0.5) < 1e-6));
  assert.equal(queue.status().underruns, 0);
});

test("media time follows what is heard", () => {
  const queue = new PcmQueue(RATE);
  run(queue, 1000);
  const { mediaUs, levelMs } = queue.status();
  assert.ok(Math.abs(mediaUs / 1000 + levelMs - 1000) < 1);
});

test("jitter beyond the target raises it until there are no more underruns", () => {
  const queue = new PcmQueue(RATE);
  const jitter = (i) => (i % 10 === 9 ? 70 : 0);
  run(queue, 6000, jitter);
  const { underruns, targetMs } = queue.status();
  assert.ok(underruns >= 1 && underruns < 15, `${underruns} underruns`);
  assert.ok(targetMs > 50 && targetMs <= 160, `target ${targetMs}`);
});

test("a backlog is skipped to the target", () => {
  const queue = new PcmQueue(RATE);
  for (let i = 0; i < 40; i++) queue.push(i * 20_000, RATE, chunk(0.5));
  assert.ok(queue.status().levelMs < 125);
});

test("a hole is filled with as much silence, an old chunk is dropped", () => {
  const queue = new PcmQueue(RATE);
  queue.push(0, RATE, chunk(0.5));
  queue.push(40_000, RATE, chunk(0.5));
  assert.ok(Math.abs(queue.status().levelMs - 60) < 0.1);
  queue.push(20_000, RATE, chunk(0.5));
  assert.ok(Math.abs(queue.status().levelMs - 60) < 0.1);
});

test("another output rate keeps the pace", () => {
  const queue = new PcmQueue(44_100);
  const heard = run(queue, 3000, () => 0, 44_100);
  const first = heard.findIndex((sample) => sample !== 0);
  assert.ok(heard.slice(first).every((sample) => Math.abs(sample - 0.5) < 1e-6));
  assert.ok(queue.status().levelMs < 80);
});
