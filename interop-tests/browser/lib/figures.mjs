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

  /** `verdict` is `pass`, `pass: target missed: which`, `FAIL: why` or `skip: why`. */
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
    const missed = this.#cells.filter(({ verdict }) => verdict.startsWith("pass:")).length;
    console.error(
      `${this.#suite}: ${this.#cells.length - failed - skipped} passed (${missed} of them missed a target), ${failed} failed, ${skipped} skipped`,
    );
    return failed === 0;
  }
}

/**
 * `pass`, or the reasons of every check that does not hold. A target that is missed is told behind `pass`: how quick a
 * machine is must not decide a test.
 */
export function verdict(checks, targets = {}) {
  const unmet = (all) => Object.entries(all).filter(([, holds]) => !holds).map(([name]) => name);
  const [failed, missed] = [unmet(checks), unmet(targets)];
  if (failed.length > 0) return `FAIL: ${[...failed, ...missed].join("; ")}`;
  return missed.length > 0 ? `pass: target missed: ${missed.join("; ")}` : "pass";
}
