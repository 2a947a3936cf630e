// Prints the size of the client as a page loads it, and fails if it is 6 KB or more.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT = 6 * 1024;
const entry = new URL("../src/index.ts", import.meta.url).pathname;
const { outputFiles } = await build({
  entryPoints: [entry],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
});
const [bundle] = outputFiles;
const size = gzipSync(bundle.contents, { level: 9 }).length;
console.log(`${bundle.contents.length} bytes, ${size} gzipped; the limit is ${LIMIT}`);
process.exitCode = size < LIMIT ? 0 : 1;
