/**
 * Linked WGSL, kept between runs in the user's cache folder: `kernels/<kernel and flags>.wgsl`. Linking takes a few
 * milliseconds per kernel, of which a training step has dozens.
 *
 * The first line is a digest of the code, of the sources it was linked from, of the flags and of the linker's version.
 * What does not agree with it is linked anew and replaced, so nothing is ever stale or half there, and there are never
 * more files than kernels with their flags.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pkg from "../../package.json";
import { writableCache } from "../cache-folders.ts";

let usual: string | null | undefined;

/** The folder of this user; null where none can be written. */
function usualFolder(): string | null {
  if (usual === undefined) {
    const cache = writableCache();
    usual = cache === undefined ? null : join(cache, "kernels");
  }
  return usual;
}

export interface Linkable {
  /** Path of the kernel, as in `merge/combine`. */
  readonly path: string;
  readonly flags: readonly string[];
  /** All files that it needs, by module path. */
  readonly sources: Readonly<Record<string, string>>;
}

function digestOf({ path, flags, sources }: Linkable, code: string): string {
  const hash = new Bun.CryptoHasher("sha256");
  return hash.update(JSON.stringify([pkg.dependencies.wesl, path, flags, sources, code])).digest("hex");
}

/**
 * The code that an earlier run linked, or else what `link` gives, which is then kept. A folder that cannot be read or
 * written costs time, nothing else; `null` stands for none.
 */
export async function linked(
  kernel: Linkable,
  link: () => Promise<string>,
  folder: string | null = usualFolder(),
): Promise<string> {
  if (folder === null) return link();
  const file = join(folder, `${[kernel.path, ...kernel.flags].join("+").replaceAll("/", ".")}.wgsl`);
  const kept = attempt(() => readFileSync(file, "utf8")) ?? "";
  const code = kept.slice(kept.indexOf("\n") + 1);
  if (kept !== "" && kept.startsWith(`// ${digestOf(kernel, code)}\n`)) return code;
  const fresh = await link();
  write(file, `// ${digestOf(kernel, fresh)}\n${fresh}`, folder);
  return fresh;
}

/** What `act` gives; undefined where the system refuses it. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch {
    return undefined;
  }
}

/** Several processes may write one file: each renames a file of its own. */
function write(file: string, text: string, folder: string): void {
  const own = `${file}.${process.pid}-${crypto.randomUUID()}`;
  attempt(() => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(own, text, { flag: "wx", mode: 0o600 });
    renameSync(own, file);
  });
  attempt(() => rmSync(own, { force: true })); // of a full disk
}
