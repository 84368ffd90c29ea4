// Percentiles, and the lines and files in which results are told.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const directory = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), ".cache", "results");

/** Nearest rank; `null` of nothing. */
export function percentile(values, p) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))];
}

/** Collects cells, prints each as a line, and writes them all as JSON for `cargo xtask`. */
export class Results {
  #suite;
  #columns;
  #cells = [];

  /** `columns` are the keys of a cell in the order in which they are printed. */
  constructor(suite, columns) {
    this.#suite = suite;
    this.#columns = columns;
    console.log(["suite", ...columns, "verdict"].join("\t"));
  }

  /** `verdict` is `pass`, `FAIL: why` or `skip: why`. */
  add(cell) {
    this.#cells.push(cell);
    const shown = this.#columns.map((column) => {
      const value = cell[column];
      return value === null || value === undefined ? "-" : typeof value === "number" ? String(Math.round(value * 100) / 100) : String(value);
    });
    console.log([this.#suite, ...shown, cell.verdict].join("\t"));
  }

  /** Writes the file; true when nothing failed. */
  async finish() {
    const failed = this.#cells.filter(({ verdict }) => verdict.startsWith("FAIL")).length;
    const skipped = this.#cells.filter(({ verdict }) => verdict.startsWith("skip")).length;
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, `${this.#suite}.json`), `${JSON.stringify({ suite: this.#suite, failed, skipped, cells: this.#cells }, null, 1)}\n`);
    console.error(`${this.#suite}: ${this.#cells.length - failed - skipped} passed, ${failed} failed, ${skipped} skipped`);
    return failed === 0;
  }
}

/** `pass`, or the reasons of every check that does not hold. */
export function verdict(checks) {
  const failed = Object.entries(checks).filter(([, holds]) => !holds).map(([name]) => name);
  return failed.length === 0 ? "pass" : `FAIL: ${failed.join("; ")}`;
}
