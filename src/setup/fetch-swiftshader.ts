/** Fetching SwiftShader into the user's cache folder, from an npm package that carries it, without root. */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { writableCache } from "../cache-folders.ts";
import { UserError } from "../errors.ts";
import { cachedSwiftShader, DRIVER, LOADER, MANIFEST, SWIFTSHADER, swiftShaderFolder } from "../gpu/swiftshader.ts";
import { lastWords, run } from "./run.ts";

const ARCHIVE = join("bin", "swiftshader.tar.br");
/** SHA-256 of the archive in the pinned version: what it holds is loaded into this process. */
const DIGEST = "b680e40a33235ecc6ad4c6897a168b70ce5164f0d62d2a64d675320d51614631";

/** A driver manifest with its library named in full, so that the loader finds it from any folder. */
export function manifestWithLibrary(manifest: string, library: string): string {
  const parsed = JSON.parse(manifest) as { ICD?: Record<string, unknown> };
  if (typeof parsed.ICD?.library_path !== "string")
    throw new SyntaxError("expected a driver manifest with ICD.library_path");
  return `${JSON.stringify({ ...parsed, ICD: { ...parsed.ICD, library_path: library } }, null, 2)}\n`;
}

/** Unpacks the driver, its loader and its manifest into a folder that appears under its name only when it is whole. */
export async function unpackSwiftShader(archive: Uint8Array, target: string): Promise<void> {
  const files = await new Bun.Archive(brotliDecompressSync(archive)).files();
  const parent = join(target, "..");
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  const draft = mkdtempSync(join(parent, "unpacking-"));
  try {
    for (const name of [DRIVER, LOADER, MANIFEST]) {
      const file = files.get(name);
      if (!file)
        throw new SyntaxError(`expected ${name} in the archive of SwiftShader, found ${[...files.keys()].join(", ")}`);
      const bytes = Buffer.from(await file.arrayBuffer());
      const text = () => manifestWithLibrary(bytes.toString(), join(target, DRIVER));
      writeFileSync(join(draft, name), name === MANIFEST ? text() : bytes);
    }
    chmodSync(draft, 0o755);
    rmSync(target, { recursive: true, force: true });
    renameSync(draft, target);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/**
 * Fetches SwiftShader unless it is there already. The package manager runs in a separate project, so this project's
 * package.json and lock file stay as they are, and with a separate cache, because the rest of the package (70 MB) has
 * no use. Returns the folder. Throws a UserError when it cannot be fetched.
 */
export async function fetchSwiftShader(): Promise<string> {
  const present = cachedSwiftShader();
  if (present) return present;
  const cache = writableCache();
  if (!cache) {
    throw new UserError(
      "No folder to keep the software Vulkan driver in can be written",
      "set INGOT_CACHE to a folder that you can write",
      1,
    );
  }
  const project = mkdtempSync(join(tmpdir(), "ingot-driver-"));
  try {
    const dependencies = { [SWIFTSHADER.package]: SWIFTSHADER.version };
    writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, dependencies }));
    const ended = await run([process.execPath, "install", "--no-save", "--ignore-scripts"], {
      cwd: project,
      env: { BUN_INSTALL_CACHE_DIR: join(project, "cache") },
    });
    if (ended.code !== 0) {
      throw new UserError(
        `SwiftShader could not be fetched (${SWIFTSHADER.package} ${SWIFTSHADER.version}):\n    ${lastWords(ended)}`,
        "check the network and the registry that .npmrc names",
        1,
      );
    }
    const archive = readFileSync(join(project, "node_modules", SWIFTSHADER.package, ARCHIVE));
    const digest = createHash("sha256").update(archive).digest("hex");
    if (digest !== DIGEST) {
      throw new UserError(
        `The archive of SwiftShader has SHA-256 ${digest}, expected ${DIGEST}`,
        "the registry served something else than was published; do not use it",
        1,
      );
    }
    const target = swiftShaderFolder(cache);
    await unpackSwiftShader(archive, target);
    return target;
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
}
