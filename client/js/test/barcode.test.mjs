import assert from "node:assert/strict";
import test from "node:test";
import { BLOCKS, checksum, clockNumber, decode, difference, encode, MODULUS } from "../src/measure/barcode.ts";

const luma = (blocks, white = 235, black = 16) => blocks.map((block) => (block ? white : black));

test("a code is read back, also when faded", () => {
  for (const number of [0, 1, 0x00ff00, 0xabcdef, MODULUS - 1]) {
    assert.equal(decode(luma(encode(number))), number);
    assert.equal(decode(luma(encode(number), 180, 80)), number);
  }
});

test("one changed block is always noticed", () => {
  for (const number of [0, 77, 0xabcdef]) {
    for (let i = 0; i < BLOCKS; i++) {
      const blocks = encode(number);
      blocks[i] = !blocks[i];
      assert.equal(decode(luma(blocks)), null, `block ${i} of ${number}`);
    }
  }
});

test("black, white and grey pictures are no codes", () => {
  for (const value of [0, 255, 128]) assert.equal(decode(new Array(BLOCKS).fill(value)), null);
});

test("the checksum is the CRC-8 with its known values", () => {
  // CRC-8 (poly 0x07, init 0xff, xorout 0x55) by long division of the bytes.
  const slow = (bytes) => {
    let remainder = 0xff;
    for (const byte of bytes) for (let bit = 7; bit >= 0; bit--) {
      const carry = ((remainder >> 7) & 1) ^ ((byte >> bit) & 1);
      remainder = ((remainder << 1) & 0xff) ^ (carry ? 0x07 : 0);
    }
    return remainder ^ 0x55;
  };
  for (const number of [0, 1, 0x123456, 0xffffff]) {
    assert.equal(checksum(number), slow([number >> 16, (number >> 8) & 0xff, number & 0xff]));
  }
});

test("differences go around the circle", () => {
  assert.equal(difference(5, 3), 2);
  assert.equal(difference(1, MODULUS - 1), 2);
  assert.equal(difference(MODULUS - 1, 1), -2);
  assert.equal(difference(clockNumber(1_800_000_000_040), clockNumber(1_800_000_000_000)), 40);
});
