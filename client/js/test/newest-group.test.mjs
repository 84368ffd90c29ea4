import assert from "node:assert/strict";
import test from "node:test";
import { Time, Track } from "@moq/net";
import { readNewestGroup } from "../src/media/newest-group.ts";

const now = new Time.Timestamp(0, Time.Timescale.MICRO);
const write = (group, ...numbers) => numbers.forEach((number) => group.writeFrame({ payload: Uint8Array.of(number), timestamp: now }));
const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

function reading() {
  const producer = new Track.Producer("video").accept({});
  const got = [];
  const done = readNewestGroup(producer.subscribe(), ([number], first) => got.push(first ? [number] : number));
  return { producer, got, done };
}

test("frames come as they are written, the first of each group marked", async () => {
  const { producer, got, done } = reading();
  const one = producer.appendGroup();
  write(one, 10, 11);
  await settle();
  assert.deepEqual(got, [[10], 11]);
  write(one, 12);
  await settle();
  one.close();
  write(producer.appendGroup(), 20);
  await settle();
  producer.close();
  await done;
  assert.deepEqual(got, [[10], 11, 12, [20]]);
});

test("what waits of an earlier group never comes between the frames of a later one", async () => {
  const { producer, got } = reading();
  const one = producer.appendGroup();
  write(one, 10);
  await settle();
  // A busy moment: the rest of the group and the next one arrive at once.
  write(one, 11, 12, 13, 14, 15, 16);
  const two = producer.appendGroup();
  write(two, 20, 21, 22, 23, 24, 25);
  await settle();
  write(one, 17);
  write(two, 26);
  await settle();
  const begun = got.findIndex((entry) => Array.isArray(entry) && entry[0] === 20);
  assert.deepEqual(got.slice(begun), [[20], 21, 22, 23, 24, 25, 26]);
  assert.ok(got.slice(0, begun).flat().every((number, i) => number === 10 + i), String(got));
});

test("a later group that has no frame yet lets the earlier one go on", async () => {
  const { producer, got } = reading();
  const one = producer.appendGroup();
  write(one, 10);
  producer.appendGroup();
  await settle();
  write(one, 11);
  await settle();
  assert.deepEqual(got, [[10], 11]);
});

test("a group that is given up is followed by the next one", async () => {
  const { producer, got } = reading();
  const one = producer.appendGroup();
  write(one, 10);
  await settle();
  one.close(new Error("too slow"));
  write(producer.appendGroup(), 20);
  await settle();
  assert.deepEqual(got, [[10], [20]]);
});
