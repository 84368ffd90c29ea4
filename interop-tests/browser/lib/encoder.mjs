// FFmpeg as a WHIP encoder that sends a file with a barcode in every picture.
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { wait } from "./browsers.mjs";

const cache = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), ".cache");
const PICTURE = { width: 640, height: 360, framerate: 30 };
const SECONDS = 180;
const BITS_PER_PIXEL = 0.12;

/** FFmpeg with a WHIP muxer: `TOMBOLO_FFMPEG`, or the one of PyPI's imageio-ffmpeg; `null` when there is none. */
export function whipEncoder() {
  if (process.env.TOMBOLO_FFMPEG) return process.env.TOMBOLO_FFMPEG;
  try {
    const path = execFileSync("python3", ["-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

/** The file, made once: H.264 baseline with a keyframe every two seconds, and a 1 kHz tone as Opus. */
async function barcodeFile(ffmpeg, { width, height, framerate }) {
  const path = join(cache, `barcode-${width}x${height}-${framerate}.mkv`);
  if (existsSync(path)) return path;
  await mkdir(cache, { recursive: true });
  const { encode } = await import("./barcode.mjs");
  const child = spawn(
    ffmpeg,
    [
      "-y", "-loglevel", "error",
      "-f", "rawvideo", "-pix_fmt", "gray", "-s", `${width}x${height}`, "-r", String(framerate), "-i", "-",
      "-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000",
      "-map", "0:v", "-map", "1:a", "-t", String(SECONDS),
      "-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "0", "-g", String(framerate * 2), "-b:v", String(Math.round(width * height * framerate * BITS_PER_PIXEL)),
      "-c:a", "libopus", "-ac", "2", "-b:a", "64k", "-f", "matroska", `${path}.part`,
    ],
    { stdio: ["pipe", "inherit", "inherit"] },
  );
  const ended = new Promise((resolve, reject) => child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`ffmpeg ended with ${code}`)))));
  for (let frame = 0; frame < framerate * SECONDS; frame++) {
    if (!child.stdin.write(picture(width, height, encode(frame + 1), frame))) await new Promise((resolve) => child.stdin.once("drain", resolve));
  }
  child.stdin.end();
  await ended;
  await rename(`${path}.part`, path);
  return path;
}

/** A grey picture: the code in the upper left half, a bar that moves below it. */
function picture(width, height, blocks, frame) {
  const pixels = Buffer.alloc(width * height, 90);
  const square = width / 16;
  blocks.forEach((white, i) => {
    for (let y = 0; y < square; y++) {
      const from = (Math.floor(i / 8) * square + y) * width + (i % 8) * square;
      pixels.fill(white ? 255 : 0, from, from + square);
    }
  });
  const barWidth = Math.round(width / 10);
  const bar = (frame * 6) % (width - barWidth);
  for (let y = Math.round(height * 0.6); y < height * 0.9; y++) pixels.fill(200, y * width + bar, y * width + bar + barWidth);
  return pixels;
}

/** Publishes to a channel over WHIP until `close`, at most for the length of the file; `picture` may name what differs from the default. */
export async function publishWhip(origin, channel, name, picture = {}) {
  const ffmpeg = whipEncoder();
  if (!ffmpeg) return null;
  const file = await barcodeFile(ffmpeg, { ...PICTURE, ...picture });
  let output = "";
  const child = spawn(ffmpeg, ["-loglevel", "info", "-re", "-i", file, "-c", "copy", "-bsf:v", "h264_mp4toannexb", "-f", "whip", `${origin}/whip/${channel}?name=${name}`], { stdio: ["ignore", "ignore", "pipe"] });
  child.stderr.on("data", (chunk) => {
    output = (output + chunk).slice(-20_000);
    if (process.env.TOMBOLO_VERBOSE) process.stderr.write(chunk);
  });
  await wait(500);
  return {
    log: () => output,
    close: async () => {
      if (child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGINT");
      await Promise.race([ended, wait(3000).then(() => child.kill("SIGKILL"))]);
    },
  };
}
