// Headless Chromium and Firefox ESR, each started once and given fresh contexts.
import puppeteer from "puppeteer-core";
import { mkdtemp, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { soundServer } from "./sound.mjs";

const PATHS = {
  chromium: process.env.TOMBOLO_CHROMIUM ?? "/usr/bin/chromium",
  firefox: process.env.TOMBOLO_FIREFOX ?? "/usr/bin/firefox-esr",
};

const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
  "--mute-audio",
];

const FIREFOX_PREFS = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  "media.autoplay.default": 0,
  "media.autoplay.block-webaudio": false,
  "media.autoplay.blocking_policy": 0,
  "media.peerconnection.ice.loopback": true,
  "media.peerconnection.ice.obfuscate_host_addresses": false,
  "dom.timeout.throttling_delay": 0,
  "dom.min_background_timeout_value": 4,
  "app.update.auto": false,
  "browser.shell.checkDefaultBrowser": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
};

/** Firefox that knows no later version than DTLS 1.2, which stands for every browser of some years ago. */
const FIREFOX_OF_DTLS_12 = "firefox-dtls12";

/** The name of a browser that is not installed is returned, so that the caller can count a skip. */
export function missing(names = Object.keys(PATHS)) {
  return names.filter((name) => !existsSync(PATHS[name]));
}

/** Browsers that were started, by name; all end with `closeAll`. */
export class Browsers {
  #running = new Map();
  #profiles = [];
  #sound = null;
  #pages = 0;

  /** The browser called `name`; `key` tells several processes of it apart. */
  async get(name, key = "") {
    const id = `${name}/${key}`;
    if (!this.#running.has(id)) this.#running.set(id, this.#launch(name));
    return this.#running.get(id);
  }

  /**
   * A page in a context of its own; in Firefox, in a process of its own, since one page that closes there holds up the
   * others. Its console errors go to standard error when TOMBOLO_VERBOSE is set.
   */
  async page(name, { width = 900, height = 700 } = {}) {
    const isFirefox = name !== "chromium";
    const key = isFirefox ? `page-${this.#pages++}` : "";
    const browser = await this.get(name, key);
    const context = await browser.createBrowserContext();
    const page = await context.newPage(isFirefox ? { type: "window" } : undefined);
    // Firefox cannot be told a viewport over BiDi in every version; its default is wide enough.
    await page.setViewport({ width, height }).catch(() => undefined);
    if (process.env.TOMBOLO_VERBOSE) {
      page.on("console", (message) => console.error(`[${name}] ${message.type()} ${message.text()}`));
      page.on("pageerror", (error) => console.error(`[${name}] ${error}`));
    }
    return { page, close: () => (isFirefox ? this.#close(`${name}/${key}`) : context.close().catch(() => undefined)) };
  }

  /** Process ids, for footprints. */
  async pid(name, key = "") {
    return (await this.get(name, key)).process()?.pid;
  }

  /** Whether `name` renders sound here. */
  async hasSound(name) {
    return name === "chromium" || (await this.#soundServer()) !== null;
  }

  async closeAll() {
    for (const id of [...this.#running.keys()]) await this.#close(id);
    for (const profile of this.#profiles) await rm(profile, { recursive: true, force: true }).catch(() => undefined);
    await (await this.#sound)?.close();
  }

  async #close(id) {
    const browser = await this.#running.get(id)?.catch(() => null);
    this.#running.delete(id);
    const child = browser?.process();
    const ended = child && child.exitCode === null ? new Promise((resolve) => child.once("exit", resolve)) : Promise.resolve();
    await Promise.race([browser?.close().catch(() => undefined), wait(3000)]);
    if (child && child.exitCode === null) child.kill("SIGKILL");
    await Promise.race([ended, wait(3000)]);
  }

  #soundServer() {
    return (this.#sound ??= soundServer());
  }

  async #launch(name) {
    const userDataDir = await mkdtemp(join(tmpdir(), `tombolo-${name}-`));
    this.#profiles.push(userDataDir);
    const path = PATHS[name] ?? PATHS.firefox;
    const common = { executablePath: path, headless: true, userDataDir, protocolTimeout: 60_000 };
    if (name === "chromium") return puppeteer.launch({ ...common, browser: "chrome", args: CHROMIUM_FLAGS });
    const sound = await this.#soundServer();
    const extraPrefsFirefox = name === FIREFOX_OF_DTLS_12 ? { ...FIREFOX_PREFS, "media.peerconnection.dtls.version.max": 0x303 } : FIREFOX_PREFS;
    return puppeteer.launch({ ...common, browser: "firefox", extraPrefsFirefox, env: { ...process.env, ...sound?.env } });
  }
}

export function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
