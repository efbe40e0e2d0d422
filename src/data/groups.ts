/**
 * Groups of data: `--data name=path` for each. A path without a name takes that of the file.
 *
 * A sampler chooses the group of the next row; a `GroupOrder` says which row of the group that is.
 */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../errors.ts";
import { quote } from "../text/quote.ts";
import { type Columns, parseColumns } from "./columns.ts";
import type { RowSource } from "./read-rows.ts";
import { inOrder, permutation } from "./shuffle.ts";

export interface GroupReference extends RowSource {
  readonly name: string;
}

/**
 * Reads `name=path` or `path`, each; `columns` is what `--columns` says of all of them. Throws UserError when two
 * groups share a name, two read stdin, or a part is missing.
 */
export function parseGroups(values: readonly string[], columns?: string, flag = "--data"): GroupReference[] {
  const named: { columns?: Columns } = columns === undefined ? {} : { columns: parseColumns(columns) };
  const groups = values.map((value) => {
    // A name has no separator in it, so a path such as ./a=b.jsonl is a path.
    const parts = /^([^=/\\]*)=(.*)$/s.exec(value);
    const [name, file] = parts ? [parts[1]!, parts[2]!] : [nameOf(value), value];
    if (name === "" || file === "") throw new UserError(`${flag} ${value}: expected name=path or a path`);
    refuseList(name, file, flag, parts !== null);
    return { name, path: file, ...named };
  });
  for (const [i, { name, path: file }] of groups.entries()) {
    const before = groups.slice(0, i);
    if (file === "-" && before.some((group) => group.path === "-")) {
      throw new UserError("two groups of data are read from stdin", "write one of them to a file first");
    }
    const twin = before.find((group) => group.name === name);
    if (twin && path.resolve(twin.path) === path.resolve(file))
      throw new UserError(`${flag} ${file} is given twice`, "give it once");
    if (twin)
      throw new UserError(`two groups of data are named ${name}`, `give them names: ${twins([twin.path, file], flag)}`);
  }
  return groups;
}

/** The groups that an option names. Throws UserError when there are none. */
export function groupsOf(values: readonly string[] | undefined, flag: string, columns?: string): GroupReference[] {
  if (!values || values.length === 0) throw new UserError(`${flag} is missing`, `for example ${flag} rows.jsonl`);
  return parseGroups(values, columns, flag);
}

/** Throws UserError for several files in one value: there may be commas in a name, so a list is no form of it. */
function refuseList(name: string, file: string, flag: string, named: boolean): void {
  if (!file.includes(",") || /^hf:|^-$/.test(file) || fs.existsSync(file)) return;
  const each = file
    .split(",")
    .filter((part) => part !== "")
    // `a=x.jsonl,b=y.jsonl` is read as the name a and the rest
    .map((part, i) => `${flag} ${quote(i === 0 && named ? `${name}=${part}` : part)}`);
  if (each.length > 1) throw new UserError(`there is no file ${file}`, `each file has its own flag: ${each.join(" ")}`);
}

const twins = (files: readonly string[], flag: string): string =>
  files.map((file, i) => `${flag} ${["first", "second"][i]}=${quote(file)}`).join(" ");

const nameOf = (file: string): string =>
  file === "-" ? "stdin" : path.basename(file).replace(/\.(jsonl?|parquet|csv|tsv)?(\.(gz|zst))?$/, "");

/**
 * The rows of one group in the order in which they are drawn: every row once, then every row once more in another
 * order. A function of the number of rows drawn before; its only memory is a copy of the current epoch's order.
 */
export class GroupOrder {
  readonly #name: string;
  readonly #count: number;
  readonly #seed: number;
  readonly #shuffle: boolean;
  #epoch = -1;
  #order: Uint32Array = new Uint32Array();

  constructor(name: string, count: number, seed: number, shuffle = true) {
    if (count < 1) throw new RangeError(`group ${name} has no rows`);
    this.#name = name;
    this.#count = count;
    this.#seed = seed;
    this.#shuffle = shuffle;
  }

  /** The row to draw after `drawn` others. */
  at(drawn: number): number {
    if (!this.#shuffle) return drawn % this.#count;
    const epoch = Math.floor(drawn / this.#count);
    if (epoch !== this.#epoch) {
      this.#order = permutation(this.#count, this.#seed, epoch, this.#name);
      this.#epoch = epoch;
    }
    return this.#order[drawn % this.#count]!;
  }
}

/** The order of all rows of one epoch: shuffled together, or one after the other. */
export function epochOrder(count: number, seed: number, epoch: number, shuffle: boolean): Uint32Array {
  return shuffle ? permutation(count, seed, epoch) : inOrder(count);
}
