/**
 * A barcode in the picture: 8×4 blocks carry a 24-bit number and an 8-bit checksum, so that a viewer can tell a whole picture
 * from a damaged one, a new one from an old one, and, where the number is a clock, how old it is.
 *
 * The picture is a grid of 16×9 squares; the code covers the upper left 8×4. Blocks are read row by row, most significant bit
 * first: `[number: 24 | checksum: 8]`. White is one.
 */

/** Numbers wrap at this value; as milliseconds that is after 4 h 39 min. */
export const MODULUS = 1 << 24;
/** Blocks of the code. */
export const BLOCKS = 32;
const COLUMNS = 8;
/** The grid that the picture is divided into. */
export const GRID_COLUMNS = 16;
export const GRID_ROWS = 9;

/** CRC-8 (polynomial 0x07) that starts at 0xff and is inverted by 0x55: neither a black nor a white picture passes. */
export function checksum(number: number): number {
  let crc = 0xff;
  for (const byte of [(number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff]) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x80 ? 0x07 : 0)) & 0xff;
  }
  return crc ^ 0x55;
}

/** The 32 blocks for `number`, `true` where white. */
export function encode(number: number): boolean[] {
  const word = ((number % MODULUS) * 256 + checksum(number % MODULUS)) >>> 0;
  return Array.from({ length: BLOCKS }, (_, i) => ((word >>> (31 - i)) & 1) === 1);
}

/** What 32 block brightnesses (0–255) say: the number, or `null` where a block is grey or the checksum is wrong. */
export function decode(luma: ArrayLike<number>): number | null {
  let word = 0;
  for (let i = 0; i < BLOCKS; i++) {
    const value = luma[i] ?? 128;
    if (value > 88 && value < 168) return null;
    word = word * 2 + (value >= 168 ? 1 : 0);
  }
  const number = Math.floor(word / 256);
  return word % 256 === checksum(number) ? number : null;
}

/** The clock that a live test picture carries: milliseconds since the Unix epoch, modulo {@link MODULUS}. */
export function clockNumber(epochMs: number = Date.now()): number {
  return Math.floor(epochMs) % MODULUS;
}

/** `a - b` on the circle of numbers, in −2²³ … 2²³−1. */
export function difference(a: number, b: number): number {
  const d = (((a - b) % MODULUS) + MODULUS) % MODULUS;
  return d >= MODULUS / 2 ? d - MODULUS : d;
}

/** Draws the code for `number` on a picture of `width` × `height`. */
export function draw(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  width: number,
  height: number,
  number: number,
): void {
  const w = width / GRID_COLUMNS;
  const h = height / GRID_ROWS;
  encode(number).forEach((white, i) => {
    context.fillStyle = white ? "#fff" : "#000";
    context.fillRect((i % COLUMNS) * w, Math.floor(i / COLUMNS) * h, w, h);
  });
}

/** Pixels per block in the reader's own canvas; the middle half of each is averaged. */
const SAMPLE = 8;

/** Reads codes (and one more square, the flash) from pictures of any size. */
export class BarcodeReader {
  readonly #context: CanvasRenderingContext2D;

  constructor() {
    const canvas = document.createElement("canvas");
    canvas.width = GRID_COLUMNS * SAMPLE;
    canvas.height = GRID_ROWS * SAMPLE;
    const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
    if (!context) throw new Error("no 2D canvas in this browser");
    this.#context = context;
  }

  /** The number in the picture (`null` when it cannot be read) and the brightness of the flash square, 0–255. */
  read(picture: CanvasImageSource, width: number, height: number): { number: number | null; flash: number } {
    const canvas = this.#context.canvas;
    this.#context.drawImage(picture, 0, 0, width, height, 0, 0, canvas.width, canvas.height);
    const { data } = this.#context.getImageData(0, 0, canvas.width, canvas.height);
    const luma = Array.from({ length: BLOCKS }, (_, i) => this.#mean(data, i % COLUMNS, Math.floor(i / COLUMNS)));
    return { number: decode(luma), flash: this.#mean(data, FLASH_COLUMN, FLASH_ROW) };
  }

  #mean(data: Uint8ClampedArray, column: number, row: number): number {
    let sum = 0;
    for (let y = row * SAMPLE + SAMPLE / 4; y < row * SAMPLE + (3 * SAMPLE) / 4; y++) {
      for (let x = column * SAMPLE + SAMPLE / 4; x < column * SAMPLE + (3 * SAMPLE) / 4; x++) {
        const at = (y * GRID_COLUMNS * SAMPLE + x) * 4;
        sum += 0.299 * (data[at] ?? 0) + 0.587 * (data[at + 1] ?? 0) + 0.114 * (data[at + 2] ?? 0);
      }
    }
    return sum / (SAMPLE / 2) ** 2;
  }
}

/** The square of the grid whose brightness tells the flash of the test picture. */
export const FLASH_COLUMN = 13;
export const FLASH_ROW = 6;
