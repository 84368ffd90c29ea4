// Tries the gateway in real browsers: node run.mjs SUITE [--publishers a,b] [--viewers a,b] [--seconds n]
import { Browsers, missing } from "./lib/browsers.mjs";
import { isInside, runInside } from "./lib/namespace.mjs";

const SUITES = {
  matrix: async (...args) => (await import("./suites/matrix.mjs")).matrix(...args),
  four: async (...args) => (await import("./suites/four.mjs")).four(...args),
  "moq-clients": async (...args) => (await import("./suites/moq-clients.mjs")).moqClients(...args),
  joins: async (...args) => (await import("./suites/joins.mjs")).joins(...args),
  outage: async (...args) => (await import("./suites/outage.mjs")).outage(...args),
  ramp: async (...args) => (await import("./suites/ramp.mjs")).ramp(...args),
  fec: async (...args) => (await import("./suites/fec.mjs")).fec(...args),
  restart: async (...args) => (await import("./suites/restart.mjs")).restart(...args),
  idle: async (...args) => (await import("./suites/idle.mjs")).idle(...args),
  footprint: async (...args) => (await import("./suites/footprint.mjs")).footprint(...args),
  sync: async (...args) => (await import("./suites/sync.mjs")).sync(...args),
  dtls: async (...args) => (await import("./suites/dtls.mjs")).dtls(...args),
  page: async (...args) => (await import("./suites/page.mjs")).page(...args),
};

const [suite, ...rest] = process.argv.slice(2);
if (!SUITES[suite]) {
  console.error(`usage: node run.mjs ${Object.keys(SUITES).join("|")}`);
  process.exit(2);
}
const options = {};
for (let i = 0; i < rest.length; i += 2) options[rest[i].replace(/^--/, "")] = rest[i + 1]?.split(",");
const absent = missing();
if (absent.length > 0) {
  // A counted, named skip, never a silent pass.
  console.log(`${suite}\tskip: not installed: ${absent.join(", ")} (apt-get install chromium firefox-esr)`);
  process.exit(0);
}
if (!isInside()) {
  const code = runInside();
  if (code === null) console.log(`${suite}\tskip: network namespaces are not allowed here, or iproute2 is not installed`);
  process.exit(code ?? 0);
}
const browsers = new Browsers();
let passed = false;
try {
  passed = await SUITES[suite](browsers, options);
} finally {
  await browsers.closeAll();
}
process.exit(passed ? 0 : 1);
