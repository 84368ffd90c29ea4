// What browsers agree on with the gateway: the version of DTLS and the key exchange, read back from the gateway's log.
import { Results, verdict } from "../lib/figures.mjs";
import { startGateway } from "../lib/gateway.mjs";
import { openPage, tileOf, until } from "../lib/participants.mjs";

const LEAST_PICTURES = 30;
const CASES = [
  { browser: "chromium", version: "Dtls13", group: "X25519MlKem768" },
  { browser: "firefox", version: "Dtls13", group: "X25519MlKem768" },
  { browser: "firefox-dtls12", version: "Dtls12", group: "X25519" },
];

/** A publisher and a viewer in each browser: media flows, and every association is of the version and group expected. */
export async function dtls(browsers) {
  const results = new Results("dtls", ["browser", "associations", "roles", "versions", "groups", "distinct"]);
  for (const expected of CASES) results.add(await call(browsers, expected));
  return results.finish();
}

async function call(browsers, expected) {
  const gateway = await startGateway({ args: ["--log", "info,tombolo_dtls=debug"] });
  const pages = [];
  try {
    const open = async (options) => {
      const page = await openPage(browsers, expected.browser, gateway, "dtls");
      pages.push(page);
      await page.join({ transport: "webrtc", ...options });
      return page;
    };
    await open({ name: "sender", mode: "publish", source: "barcode" });
    const viewer = await open({ name: "viewer", mode: "watch", expectBarcodes: true });
    const report = await until(viewer, (r) => (tileOf(r, "sender")?.distinct ?? 0) >= LEAST_PICTURES, 20_000);
    const distinct = tileOf(report, "sender")?.distinct ?? 0;
    const lines = gateway.log().split("\n").filter((line) => line.includes("DTLS connected"));
    const all = (pattern) => [...new Set(lines.map((line) => line.match(pattern)?.[1]))].sort().join("+");
    const [roles, versions, groups] = [all(/role=(\w+)/), all(/version: (\w+)/), all(/ group: (\w+)/)];
    return {
      browser: expected.browser,
      associations: lines.length,
      roles,
      versions,
      groups,
      distinct,
      verdict: verdict({
        "two associations or more": lines.length >= 2,
        [`only ${expected.version}`]: versions === expected.version,
        [`only ${expected.group}`]: groups === expected.group,
        [`${LEAST_PICTURES} pictures`]: distinct >= LEAST_PICTURES,
      }),
    };
  } catch (error) {
    return { browser: expected.browser, verdict: `FAIL: ${String(error).split("\n")[0]}` };
  } finally {
    for (const page of pages) await page.close();
    await gateway.close();
  }
}
