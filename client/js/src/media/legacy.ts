/**
 * The `legacy` container of hang broadcasts: `[timestamp: QUIC varint, µs | codec payload]` (RFC 9000 §16).
 */

/** A frame of a broadcast. */
export interface MediaFrame {
  /** Microseconds on the publisher's media clock. */
  timestampUs: number;
  data: Uint8Array;
}

/** Puts the timestamp before the payload. */
export function encodeFrame(timestampUs: number, payload: { byteLength: number; copyTo(target: Uint8Array): void }): Uint8Array {
  const head = encodeVarint(timestampUs);
  const frame = new Uint8Array(head.length + payload.byteLength);
  frame.set(head);
  payload.copyTo(frame.subarray(head.length));
  return frame;
}

/** Splits a frame; `null` where it is cut short or holds no payload, which some publishers use as a mark. */
export function decodeFrame(frame: Uint8Array): MediaFrame | null {
  const first = frame[0];
  if (first === undefined) return null;
  const length = 1 << (first >> 6);
  if (frame.length <= length) return null;
  let value = first & 0x3f;
  for (let i = 1; i < length; i++) value = value * 256 + (frame[i] ?? 0);
  if (!Number.isSafeInteger(value)) return null;
  return { timestampUs: value, data: frame.subarray(length) };
}

function encodeVarint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError("a media time is a whole number of microseconds from 0");
  const length = value < 2 ** 6 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 30 ? 4 : 8;
  const bytes = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  bytes[0] = (bytes[0] ?? 0) | (Math.log2(length) << 6);
  return bytes;
}
