// A sound server of our own with a silent output: Firefox renders no sound at all without a device.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { wait } from "./browsers.mjs";

/** Starts PulseAudio on a private socket; `null` when it is not installed. `env` is for the browser, `close` ends it. */
export async function soundServer() {
  if (!existsSync("/usr/bin/pulseaudio")) return null;
  const directory = await mkdtemp(join(tmpdir(), "tombolo-sound-"));
  const socket = join(directory, "native");
  const modules = [`module-null-sink sink_name=tombolo rate=48000`, `module-native-protocol-unix auth-anonymous=1 socket=${socket}`];
  const child = spawn(
    "pulseaudio",
    ["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--realtime=no", "--high-priority=no", ...modules.flatMap((module) => ["-L", module])],
    { stdio: "ignore", env: { ...process.env, XDG_RUNTIME_DIR: directory, HOME: directory } },
  );
  for (let i = 0; i < 50 && !existsSync(socket); i++) await wait(100);
  return {
    env: { PULSE_SERVER: `unix:${socket}` },
    close: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await Promise.race([ended, wait(2000).then(() => child.kill("SIGKILL"))]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}
