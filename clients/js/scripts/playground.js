// Builds script and style of the page of `cargo chat dev` into playground/dist, which the command line embeds. With `--check`, fails if it is
// stale.
import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const page = new URL("../playground/", import.meta.url);
const path = (name) => new URL(name, page).pathname;
const { outputFiles } = await build({
  entryPoints: [path("src/main.ts"), path("style.css")],
  entryNames: "[name]",
  outdir: path("dist"),
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome123", "firefox128", "safari17.5"],
  legalComments: "inline",
  write: false,
});
const files = outputFiles.map((file) => [file.path, file.text]);
for (const [name, text] of files) {
  const stored = await readFile(name, "utf8").catch(() => "");
  if (!process.argv.includes("--check")) {
    await writeFile(name, text);
    console.log(`${name.replace(path(""), "")}  ${text.length} bytes`);
  } else if (stored !== text) {
    console.error(`${name.replace(path(""), "playground/")} is stale: run \`npm run playground\`, and commit it.`);
    process.exitCode = 1;
  }
}
