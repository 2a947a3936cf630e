// Bundles the tests, which are TypeScript, and runs them: `npm test -- stack` runs those whose names contain `stack`.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const [filter = "", ...options] = process.argv.slice(2);
// Below node_modules, so that the tests find the packages.
const outdir = "node_modules/.cache/tests";
const tests = readdirSync("test").filter((name) => name.endsWith(".test.ts") && name.includes(filter));
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: tests.map((name) => `test/${name}`),
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  // CommonJS within a bundle needs `require`.
  banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  external: ["esbuild", "playwright-core"],
  sourcemap: "inline",
  logLevel: "warning",
});
const files = tests.map((name) => `${outdir}/${name.replace(/ts$/, "mjs")}`);
// Node 20 hides its WebSocket behind this flag, which later versions accept too.
const flags = process.versions.node.startsWith("20.") ? ["--experimental-websocket"] : [];
const { status } = spawnSync(process.execPath, [...flags, "--enable-source-maps", "--test", ...options, ...files], {
  stdio: "inherit",
});
process.exitCode = status ?? 1;
