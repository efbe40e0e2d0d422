/**
 * Tokens of large files of rows, kept between runs in the user's cache folder: `tokens/<key>-0.i32` and so on.
 *
 * The key is a digest of all that makes tokens: the files of rows (path, size, times, inode), tokenizer, template and
 * configuration, the options, and the code itself. What changes any of them makes another key, so nothing is ever
 * stale; the oldest files make room for new ones.
 */
import fs from "node:fs";
import path from "node:path";
import { writableCache } from "../cache-folders.ts";
import type { RowSource } from "./read-rows.ts";
import type { EncodeOptions, TokenCache } from "./sequences.ts";
import { type RowsKept, readTokens, type StoredTokens, TokenWriter } from "./token-file.ts";

const LEAST = 8 * 2 ** 20;
const MOST = 16 * 2 ** 30;
/** Bytes of tokens that a byte of rows may become: four for the id and four for a label. */
const GROWTH = 8;

/** The place of one source's tokens: what is there, or where it goes. */
export class CachePlace {
  readonly #name: string;
  readonly #ref: string;
  readonly #cache: TokenCache;
  readonly #identity: () => string;
  readonly #before: string;

  private constructor(name: string, ref: string, cache: TokenCache, identity: () => string) {
    [this.#name, this.#ref, this.#cache, this.#identity] = [name, ref, cache, identity];
    this.#before = identity();
  }

  /** Undefined for what is not kept: pipes, small files, and where there is no folder, no room or no mapping. */
  static async of({ path: ref, columns, part }: RowSource, options: EncodeOptions): Promise<CachePlace | undefined> {
    const { cache } = options;
    const folder = cache && (cache.folder ?? writableCache());
    const files = cache && (await filesOf(ref));
    if (!cache || folder === undefined || files === undefined || process.platform === "win32") return undefined;
    const bytes = files.reduce((sum, file) => sum + fs.statSync(file).size, 0);
    if (bytes < (cache.leastBytes ?? LEAST)) return undefined;
    const tokens = path.join(folder, "tokens");
    fs.mkdirSync(tokens, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = fs.statfsSync(tokens);
    const identity = () => files.map(identityOf).join("\n");
    const plain = Object.entries(options).filter(([key, value]) => key !== "group" && Object(value) !== value);
    const hash = new Bun.CryptoHasher("sha256");
    hash.update(
      JSON.stringify([
        identity(),
        ref.startsWith("hf:"),
        [...(columns ?? [])],
        plain,
        cache.settings,
        codeDigest(),
        part?.key,
      ]),
    );
    hash.update(JSON.stringify([options.tokenizer, options.template, dayOf(cache)])); // special tokens and the like
    for (const [name, content] of cache.files.flatMap((files) => [...files].sort(([a], [b]) => (a < b ? -1 : 1))))
      hash.update(`\n${name} ${content.length}\n`).update(content);
    const place = new CachePlace(path.join(tokens, hash.digest("hex")), ref, cache, identity);
    return place.isKept || bavail * bsize > GROWTH * bytes ? place : undefined;
  }

  get isKept(): boolean {
    return fs.existsSync(`${this.#name}.index`);
  }

  /** What an earlier run kept. */
  read(group: number): StoredTokens | undefined {
    const found = readTokens(this.#name, this.#ref, group);
    const now = new Date();
    if (found) fs.utimesSync(`${this.#name}.index`, now, now);
    return found;
  }

  writer(): TokenWriter {
    return new TokenWriter(this.#name, this.#ref);
  }

  /** Keeps what was written, unless the rows changed meanwhile; then makes room. */
  keep(writer: TokenWriter, kept: RowsKept): boolean {
    if (this.#identity() !== this.#before) return false;
    writer.finish(kept);
    makeRoom(path.dirname(this.#name), path.basename(this.#name), this.#cache.mostBytes ?? MOST);
    return true;
  }
}

/** Today, where a template asks for it: tokens of another day are others. */
function dayOf({ files }: TokenCache): string {
  const templates = files.flatMap((each) => [...each]).filter(([name]) => /template|tokenizer_config/.test(name));
  return templates.some(([, content]) => Buffer.from(content).includes("strftime_now"))
    ? new Date().toDateString()
    : "";
}

/** The regular files that a reference means; undefined of pipes. */
async function filesOf(ref: string): Promise<string[] | undefined> {
  if (ref.startsWith("hf:")) {
    const { fetchDataset } = await import("./files/hub-dataset.ts");
    return (await fetchDataset(ref)).map(({ file }) => file);
  }
  return ref !== "-" && fs.statSync(ref, { throwIfNoEntry: false })?.isFile() ? [ref] : undefined;
}

function identityOf(file: string): string {
  const { size, mtimeNs, ctimeNs, ino } = fs.statSync(file, { bigint: true });
  return [fs.realpathSync(file), size, mtimeNs, ctimeNs, ino].join(" ");
}

let code: string | undefined;

/** A digest of the code that makes tokens of rows, this folder and the versions of packages. */
function codeDigest(): string {
  if (code !== undefined) return code;
  const hash = new Bun.CryptoHasher("sha256");
  const names = fs.readdirSync(import.meta.dir, { recursive: true, encoding: "utf8" }).sort();
  const sources = names.filter((name) => name.endsWith(".ts")).map((name) => path.join(import.meta.dir, name));
  for (const file of [...sources, path.join(import.meta.dir, "../../package.json")]) hash.update(fs.readFileSync(file));
  code = hash.digest("hex");
  return code;
}

/** Removes the data sets that were used longest ago until the rest fits; the one that is named stays. */
function makeRoom(folder: string, kept: string, most: number): void {
  const sets = new Map<string, { bytes: number; used: number; files: string[] }>();
  for (const name of fs.readdirSync(folder)) {
    const [key] = /^[0-9a-f]{64}/.exec(name) ?? [];
    const stat = fs.statSync(path.join(folder, name), { throwIfNoEntry: false });
    if (key === undefined || !stat) continue;
    const set = sets.get(key) ?? { bytes: 0, used: 0, files: [] };
    set.bytes += stat.size;
    set.used = Math.max(set.used, stat.mtimeMs);
    set.files.push(name);
    sets.set(key, set);
  }
  let total = [...sets.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  for (const [key, { bytes, files }] of [...sets].sort(([, a], [, b]) => a.used - b.used)) {
    if (total <= most) return;
    if (key === kept) continue;
    // The index goes first: without it nothing else counts.
    for (const name of files.sort((a, b) => Number(b.endsWith(".index")) - Number(a.endsWith(".index"))))
      fs.rmSync(path.join(folder, name), { force: true });
    total -= bytes;
  }
}
