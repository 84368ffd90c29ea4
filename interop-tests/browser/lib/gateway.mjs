// Starts the gateway binary on a loopback port of the system's choice.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { wait } from "./browsers.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const START_TIMEOUT_MS = 15_000;

/** The binary: `TOMBOLO_BIN`, or what cargo built last. */
export function gatewayBinary() {
  const candidates = [process.env.TOMBOLO_BIN, join(root, "target/release/tombolo"), join(root, "target/debug/tombolo")];
  const found = candidates.find((path) => path && existsSync(path));
  if (!found) throw new Error("no gateway binary: run `cargo build --release -p tombolo-gateway`, or set TOMBOLO_BIN");
  return found;
}

/** A running gateway: `origin`, `port`, `pid`, `close()`. */
export async function startGateway({ args = [] } = {}) {
  const child = spawn(gatewayBinary(), ["serve", "--listen", "0.0.0.0:0", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  let output = "";
  const port = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the gateway printed no address:\n${output}`)), START_TIMEOUT_MS);
    const read = (chunk) => {
      output = (output + chunk).slice(-200_000);
      if (process.env.TOMBOLO_VERBOSE) process.stderr.write(chunk);
      const match = output.match(/https?:\/\/(?:127\.0\.0\.1|localhost):(\d+)/);
      if (!match) return;
      clearTimeout(timer);
      resolve(Number(match[1]));
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", (code) => reject(new Error(`the gateway ended with ${code}:\n${output}`)));
  });
  return {
    origin: `http://127.0.0.1:${port}`,
    port,
    pid: child.pid,
    log: () => output,
    close: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await Promise.race([ended, wait(4000).then(() => child.kill("SIGKILL"))]);
    },
  };
}

/** CPU seconds and resident bytes of a process, and how often its threads have gone to sleep, from /proc. */
export async function footprint(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = Number(fields[11]) + Number(fields[12]);
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  let sleeps = 0;
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const of = await readFile(`/proc/${pid}/task/${thread}/status`, "utf8").catch(() => "");
    sleeps += field(of, "voluntary_ctxt_switches");
  }
  return { cpuSeconds: ticks / 100, residentBytes: field(status, "VmRSS") * 1024, sleeps };
}

const field = (status, name) => Number(status.match(new RegExp(`^${name}:\\s+(\\d+)`, "m"))?.[1] ?? 0);
