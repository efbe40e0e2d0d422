/**
 * Numbers of evaluations that are kept under a hash of everything they hang on: the weights to the bit, the files
 * beside them, the rows as they are asked, metrics, settings, and the version. What has changed in any of these is
 * measured again; nothing is ever looked up by a name.
 */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { type Checkpoint, isRowPatch } from "../../checkpoint/checkpoint.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import { UserError } from "../../errors.ts";
import { isObject, parseJson } from "../../json.ts";

/** Bytes that are read at once. */
const PIECE = 2 ** 22;

/** A digest of all weights and files of a model; undefined for one whose weights are changed as they are read. */
export async function digestOfModel({ tensors, files }: Checkpoint): Promise<string | undefined> {
  const hash = createHash("sha256");
  for (const [name, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${name}\0${content.length}\0`).update(content);
  for (const { name, dtype, shape, bytes, patch, read } of tensors.values()) {
    if (isRowPatch(patch)) return undefined;
    hash.update(JSON.stringify([name, dtype, shape]));
    for (let at = 0; at < bytes; at += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, bytes - at));
      await read(piece, at);
      hash.update(piece);
    }
    if (!patch) continue;
    const { a, b, magnitude, ...rest } = patch;
    hash.update(JSON.stringify(rest));
    for (const part of [a, b, magnitude ?? new Float32Array()])
      hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
  }
  return hash.digest("hex");
}

/** A digest of rows as they are asked. */
export async function digestOfRows(groups: readonly GroupReference[]): Promise<string> {
  const hash = createHash("sha256");
  for (const group of groups) {
    hash.update(`${group.name}\0`);
    for await (const { row } of readRows(group))
      hash.update(JSON.stringify(row, (_, x) => (ArrayBuffer.isView(x) ? Array.from(new Uint8Array(x.buffer)) : x)));
  }
  return hash.digest("hex");
}

export const digestOf = (...parts: readonly unknown[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex");

/** A number of a metric on a group. */
export interface Kept {
  readonly metric: string;
  readonly group: string;
  readonly value: number;
}

const special = new Map([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map((x) => [String(x), x]));

export class KeptNumbers {
  readonly #folder: string;

  /** Throws UserError for a folder that cannot be made. */
  constructor(folder: string) {
    this.#folder = folder;
    try {
      fs.mkdirSync(folder, { recursive: true });
    } catch {
      throw new UserError(`--cache ${folder} is no folder, and none can be made there`, "name another one");
    }
  }

  #file(key: string): string {
    return path.join(this.#folder, `${key}.json`);
  }

  /** What is kept under a key; undefined where nothing is, or what is there is not whole. */
  get(key: string): Kept[] | undefined {
    try {
      const { value } = parseJson(fs.readFileSync(this.#file(key), "utf8"), key);
      if (!Array.isArray(value)) return undefined;
      return value.map((row) => {
        if (!isObject(row)) throw new RangeError("no row");
        const { metric, group, value: x } = row;
        const number = typeof x === "number" ? x : typeof x === "string" ? special.get(x) : undefined;
        if (typeof metric !== "string" || typeof group !== "string" || number === undefined)
          throw new RangeError("no number");
        return { metric, group, value: number };
      });
    } catch {
      return undefined;
    }
  }

  /** Keeps numbers; a file appears under its name when it is whole. */
  set(key: string, rows: readonly Kept[]): void {
    const text = JSON.stringify(
      rows.map(({ metric, group, value }) => ({
        metric,
        group,
        value: Number.isFinite(value) ? value : String(value),
      })),
    );
    const part = `${this.#file(key)}.${process.pid}.part`;
    fs.writeFileSync(part, text);
    fs.renameSync(part, this.#file(key));
  }
}
