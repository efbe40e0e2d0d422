/**
 * The page that merges in a browser, as one file: script, style and kernels stand in it, and its policy lets it load
 * and ask for nothing else.
 *
 * The script is bundled from the sources of the command line. A few modules that speak to the system are exchanged
 * for those of `in-page/`, which have the same interface; what else there is of Node the page never calls.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BunPlugin } from "bun";
import { textOutput } from "../cli/output.ts";
import { UserError } from "../errors.ts";
import { LIB_IMPORT } from "../gpu/kernel.ts";

const SOURCES = fileURLToPath(new URL("../", import.meta.url));
const KERNELS = fileURLToPath(new URL("../../wgsl/", import.meta.url));

/** Sources that the page has in a form of its own. */
const EXCHANGED: Readonly<Record<string, string>> = {
  "gpu/dawn/dawn.ts": "dawn.ts",
  "gpu/node-binding.ts": "dawn.ts",
  "gpu/swiftshader.ts": "no-driver.ts",
  "gpu/linked.ts": "linked.ts",
};

/** Modules of Bun that it has too. */
const BUILT_IN: Readonly<Record<string, string>> = {
  "node:fs": "files.ts",
  "node:fs/promises": "files.ts",
  "node:crypto": "hashes.ts",
  "node:zlib": "gzip.ts",
  "node:os": "absent.ts",
  "node:tty": "absent.ts",
  "node:url": "absent.ts",
};

/** The name under which the script finds the texts of kernels. */
const TEXTS = "INGOT_KERNELS";

/** Kernels that a script names, and what they import, by path as src/gpu/sources.ts has it. */
function kernelsOf(code: string): Record<string, string> {
  const texts: Record<string, string> = {};
  const add = (path: string): void => {
    const file = join(KERNELS, `${path}.wgsl`);
    if (texts[path] !== undefined || !existsSync(file)) return;
    const text = readFileSync(file, "utf8");
    texts[path] = text;
    for (const [, name] of text.matchAll(LIB_IMPORT)) add(`lib/${name!.replaceAll("_", "-")}`);
  };
  for (const [, path] of code.matchAll(/["'`]([a-z0-9-]+\/[a-z0-9-]+)["'`]/g)) add(path!);
  return texts;
}

const inPage = (name: string): string => join(SOURCES, "web", "in-page", name);

const exchange: BunPlugin = {
  name: "what a browser lacks",
  setup(build) {
    const endings = Object.keys(EXCHANGED).map((path) => path.split("/").at(-1)!.replace(".", "\\."));
    build.onResolve({ filter: new RegExp(`/(${endings.join("|")})$`) }, ({ path, importer }) => {
      const own = Object.keys(EXCHANGED).find((source) => join(importer, "..", path) === join(SOURCES, source));
      return own === undefined ? undefined : { path: inPage(EXCHANGED[own]!) };
    });
    build.onResolve({ filter: /^node:/ }, ({ path }) => {
      const own = BUILT_IN[path];
      return own === undefined ? undefined : { path: inPage(own) };
    });
    build.onLoad({ filter: /src[\\/]gpu[\\/]sources\.ts$/ }, () => ({
      loader: "js",
      contents: `export const kernelText = (file) => {
  if (!Object.hasOwn(${TEXTS}, file)) throw new Error(file + ": the page has no such kernel");
  return ${TEXTS}[file];
};`,
    }));
  },
};

/** The script of the page. Throws what the bundler complains of. */
async function script(): Promise<string> {
  const built = await Bun.build({
    throw: false,
    entrypoints: [join(SOURCES, "web", "page", "page.client.js")],
    target: "browser",
    format: "esm",
    minify: true,
    plugins: [exchange],
  });
  if (!built.success) throw new Error(`the page cannot be bundled:\n${built.logs.join("\n")}`);
  const code = await built.outputs[0]!.text();
  return `const ${TEXTS} = ${JSON.stringify(kernelsOf(code))};\n${code}`;
}

const asset = (name: string): string => readFileSync(join(SOURCES, "web", "page", name), "utf8");

const digest = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

/** Nothing from elsewhere, nothing but the script and the style that stand in the page, no request of any kind. */
const policyOf = (script: string, style: string): string =>
  [
    "default-src 'none'",
    `script-src ${digest(script)}`,
    `style-src ${digest(style)}`,
    "img-src data:",
    "connect-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");

/** The text of the page. */
export async function page(): Promise<string> {
  // The bundle may hold texts that end or begin elements; within a script they are written otherwise.
  const code = (await script()).replace(/<(?=\/script|!--|script)/gi, "\\x3c");
  const style = asset("page.css");
  const policy = `<meta http-equiv="content-security-policy" content="${policyOf(code, style)}">`;
  const put: readonly (readonly [string, string])[] = [
    ['<meta charset="utf-8">', `<meta charset="utf-8">\n    ${policy}`],
    ['<link rel="stylesheet" href="page.css">', `<style>${style}</style>`],
    ['<script type="module" src="page.client.js"></script>', `<script type="module">${code}</script>`],
  ];
  return put.reduce((text, [place, own]) => {
    if (!text.includes(place)) throw new Error(`page.html has no ${place}`);
    return text.replace(place, () => own);
  }, asset("page.html"));
}

/** Writes `index.html` into a folder; gives its path and bytes. Throws UserError where it cannot be written. */
export async function writePage(folder: string): Promise<{ file: string; bytes: number }> {
  const text = await page();
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UserError(`--out: ${folder} cannot be made (${code})`, "name another folder", 1);
  }
  const file = join(folder, "index.html");
  const output = textOutput(file);
  try {
    output.write(text);
    output.commit();
  } catch (error) {
    output.discard();
    throw error;
  }
  return { file, bytes: Buffer.byteLength(text) };
}
