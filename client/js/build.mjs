// Builds the page into dist/, byte for byte the same from the same sources and package-lock.json.
import { build } from "esbuild";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
process.chdir(here);
const out = process.argv[2] ?? "dist";
await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });

const { metafile } = await build({
  entryPoints: { app: "src/page/main.ts", "audio-worklet": "src/worklet/worklet.ts" },
  outdir: out,
  bundle: true,
  format: "esm",
  target: ["chrome120", "firefox128", "safari17"],
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
});
await build({ entryPoints: ["src/page/app.css"], outdir: out, minify: true, logLevel: "warning" });
await copyFile("src/page/index.html", join(out, "index.html"));
await writeFile(join(out, "THIRD-PARTY.txt"), await notices(Object.keys(metafile.inputs)));

/** Names, versions and licences of the packages that are in the bundle. */
async function notices(inputs) {
  const packages = new Set(inputs.map((input) => input.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1]).filter(Boolean));
  let text = "The bundle app.js contains these packages.\n";
  for (const name of [...packages].sort()) {
    const directory = join("node_modules", name);
    const { version, license, author, repository } = JSON.parse(await readFile(join(directory, "package.json"), "utf8"));
    const source = typeof repository === "string" ? repository : repository?.url;
    text += `\n${name} ${version}, ${license}${author ? `, ${typeof author === "string" ? author : author.name}` : ""}${source ? `, ${source}` : ""}\n`;
    const file = (await readdir(directory)).find((entry) => /^licen[cs]e/i.test(entry));
    if (file) text += `\n${(await readFile(join(directory, file), "utf8")).trim()}\n`;
  }
  return text;
}
