// The page itself: by keyboard, on a phone's width, in the dark, with errors in words; and a picture of it in use.
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Results, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, publisher, tileOf, until } from "../lib/participants.mjs";
import { wait } from "../lib/browsers.mjs";
import { oneLine } from "./matrix.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");

/** `screenshot` names a file to write instead of the one in the cache. */
export async function page(browsers, { screenshot = [join(root, "interop-tests/.cache/page.png")] } = {}) {
  const results = new Results("page", ["check", "found"]);
  const gateway = await startGateway();
  const closing = [];
  const check = async (name, run) => {
    try {
      const { found, ...checks } = await run();
      results.add({ check: name, found, verdict: verdict(checks) });
    } catch (error) {
      results.add({ check: name, verdict: `FAIL: ${oneLine(error)}` });
    }
  };
  try {
    for (const [kind, name, toneHz] of [["chromium-webrtc", "alice", 800], ["chromium-webtransport", "bob", 1200], ["ffmpeg-whip", "encoder", 1000]]) {
      const source = await publisher(browsers, kind, gateway, "demo", name, { join: { picture: { toneHz } } });
      if (source) closing.push(source);
    }
    const desktop = await openPage(browsers, "chromium", gateway, "demo", { width: 1200, height: 900 });
    closing.push(desktop);
    await check("roster before joining", () => rosterBeforeJoining(desktop));
    await check("join by keyboard", () => joinByKeyboard(desktop));
    await check("figures on every tile", () => figures(desktop));
    await mkdir(dirname(screenshot[0]), { recursive: true });
    await desktop.page.screenshot({ path: screenshot[0] });
    await check("a taken name", () => takenName(browsers, gateway));
    await check("a phone's width", () => phone(browsers, gateway));
    for (const transport of ["webtransport", "webrtc"]) await check(`HTTPS, ${transport}`, () => https(browsers, gateway, transport));
    await check("leaving", () => leaving(desktop));
  } finally {
    for (const each of closing.reverse()) await each.close();
    await gateway.close();
  }
  return results.finish();
}

async function rosterBeforeJoining({ page }) {
  const names = () => page.$$eval("#people li", (items) => items.map((item) => item.textContent));
  for (let i = 0; i < 20 && (await names()).length < 2; i++) await wait(200);
  const found = (await names()).join(", ");
  return { found, "publishers are named": found.includes("alice") && found.includes("bob") };
}

async function joinByKeyboard({ page, report }) {
  await page.focus("#name");
  await page.keyboard.down("Control");
  await page.keyboard.press("a");
  await page.keyboard.up("Control");
  await page.keyboard.type("carol");
  await page.keyboard.press("Enter");
  const joined = await until({ report }, ({ tiles }) => tiles.length >= 2 && tiles.every(({ distinct }) => distinct > 30), 10_000);
  return { found: `${joined.state}, ${joined.tiles.length} tiles`, joined: joined.state === "joined", "two tiles or more": joined.tiles.length >= 2 };
}

async function figures({ page }) {
  await wait(2500);
  const numbers = await page.$$eval(".tile .numbers", (lines) => lines.map((line) => line.textContent));
  const connection = await page.$eval("#figures", (list) => list.textContent);
  return {
    found: `${numbers.join(" | ")} | ${connection}`,
    "frames, bitrate and codec": numbers.every((text) => /fps/.test(text) && /b\/s/.test(text) && /vp8|h264|avc1/.test(text)),
    "glass to glass": numbers.filter((text) => /ms glass to glass/.test(text)).length >= 2,
    "round trip": /Round trip/.test(connection),
  };
}

async function takenName(browsers, gateway) {
  const words = [];
  for (const transport of ["webrtc", "webtransport"]) {
    const { page, close, join: joinChannel } = await openPage(browsers, "chromium", gateway, "demo");
    const refused = await joinChannel({ name: "alice", mode: "watch", transport }).then(() => "joined", () => "refused");
    words.push(`${transport}: ${refused}: ${await page.$eval("#problems", (list) => list.textContent)}`);
    await close();
  }
  return { found: words.join(" | "), "refused in words": words.every((text) => /refused/.test(text) && /name/i.test(text)) };
}

async function phone(browsers, gateway) {
  const { page, close, join: joinChannel } = await openPage(browsers, "chromium", gateway, "demo", { width: 360, height: 740 });
  try {
    await joinChannel({ name: "dave", mode: "watch", transport: "auto" });
    await wait(1500);
    const { wide, small } = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      small: [...document.querySelectorAll("button, input, select")].filter((control) => control.offsetParent && control.offsetHeight < 32).length,
    }));
    return { found: `${wide} px wide`, "no sideways scrolling": wide <= 360, "controls large enough": small === 0 };
  } finally {
    await close();
  }
}

/** As from another machine: over TLS with the gateway's own certificate, publishing and watching. */
async function https(browsers, gateway, transport) {
  const secure = { ...gateway, origin: gateway.origin.replace("http:", "https:") };
  const page = await openPage(browsers, "chromium", secure, "demo", { anyCertificate: true });
  try {
    await page.join({ name: `secure-${transport}`, mode: "both", transport, source: "barcode", expectBarcodes: true });
    const report = await until(page, (now) => (tileOf(now, "alice")?.distinct ?? 0) >= 10, 10_000);
    const { protocol } = new URL(page.page.url());
    return { found: `${protocol} ${report.state}`, "over TLS": protocol === "https:", joined: report.state === "joined", pictures: (tileOf(report, "alice")?.distinct ?? 0) >= 10 };
  } finally {
    await page.close();
  }
}

async function leaving({ page, report }) {
  await page.click("#leave");
  await wait(300);
  const { state, tiles } = await report();
  const text = await page.$eval("#status", (line) => line.textContent);
  return { found: text, left: state === "idle", "no tiles": tiles.length === 0 };
}
