/**
 * A network of the tests' own: loopback, and one address as a server has it.
 *
 * Firefox pairs no candidate of its own with a loopback candidate of an ICE-lite server, so that a gateway on loopback
 * alone is out of its reach. In a network namespace the gateway can listen on an address that is not loopback and that
 * nobody else sees, and the browsers reach nothing but it.
 */
import { spawnSync } from "node:child_process";

const INSIDE = "TOMBOLO_TEST_NAMESPACE";

/** Documentation range for benchmarks (RFC 2544). A veth pair, since not every kernel has dummy interfaces. */
const SET_UP = [
  "ip link set lo up",
  "ip link add test0 type veth peer name test1",
  "ip address add 198.18.0.1/24 dev test0",
  "ip link set test0 up",
  "ip link set test1 up",
  "ip route add default via 198.18.0.254 dev test0",
  'exec "$@"',
].join(" && ");

/** Whether this process is in the namespace already. */
export const isInside = () => process.env[INSIDE] === "1";

/** Runs this very command again inside; returns its exit code, or null where the system does not allow it. */
export function runInside() {
  const privileges = [["--net"], ["--user", "--map-root-user", "--net"]];
  const allowed = privileges.find((flags) => spawnSync("unshare", [...flags, "true"]).status === 0);
  if (!allowed || spawnSync("ip", ["-Version"]).status !== 0) return null;
  const command = ["bash", "-c", SET_UP, "namespace", process.execPath, ...process.argv.slice(1)];
  const env = { ...process.env, [INSIDE]: "1" };
  return spawnSync("unshare", [...allowed, ...command], { stdio: "inherit", env }).status ?? 1;
}
