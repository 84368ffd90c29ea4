// A track of the gateway's own broadcast that breaks off is read on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { followJson } from "../src/follow-json.ts";

/** A subscription that gives `values` and then ends, or fails. */
function track(values, { fails = false } = {}) {
  const rest = [...values];
  return {
    closed: false,
    async readJson() {
      if (rest.length === 0 && fails) throw new Error("reset");
      return rest.shift();
    },
    close() {
      this.closed = true;
    },
  };
}

test("values go on after a subscription that failed, one that ended and one that could not be made", async () => {
  const tracks = [track(["a"], { fails: true }), null, track(["b", "c"]), track(["d"])];
  const all = tracks.filter(Boolean);
  const heard = [];
  const subscribe = () => {
    const next = tracks.shift();
    if (!next) throw new Error("no connection");
    return next;
  };
  await followJson(subscribe, () => tracks.length > 0, (value) => heard.push(value));
  assert.deepEqual(heard, ["a", "b", "c", "d"]);
  assert.ok(all.every((each) => each.closed));
});
