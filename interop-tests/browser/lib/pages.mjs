// Builds the test pages and serves them on loopback.
import { build } from "esbuild";
import { createServer } from "node:http";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const browserDirectory = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(dirname(browserDirectory), ".cache", "pages");

/** Bundles `pages/NAME.ts` and the audio worklet, and serves a page that runs it; `close` ends that. */
export async function servePage(name) {
  await mkdir(cache, { recursive: true });
  await build({
    entryPoints: { [name]: join(browserDirectory, "pages", `${name}.ts`), "audio-worklet": join(browserDirectory, "../../client/js/src/worklet/worklet.ts") },
    outdir: cache,
    bundle: true,
    format: "esm",
    target: "es2022",
    nodePaths: [join(browserDirectory, "node_modules")],
    logLevel: "error",
  });
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://127.0.0.1").pathname;
    if (path === "/") return response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>${name}</title><script type=module src=/${name}.js></script>`);
    const file = await readFile(join(cache, path.replace(/[^\w.-]/g, ""))).catch(() => null);
    response.writeHead(file ? 200 : 404, { "content-type": path.endsWith(".js") ? "text/javascript" : "text/plain" }).end(file ?? "");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
