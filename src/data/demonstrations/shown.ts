/**
 * Prompts behind demonstrations of how others are answered. Mueller et al. 2023 (demonstration retrieval in
 * meta-training), https://arxiv.org/abs/2307.00119
 */
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import { readJsonFile } from "../files/jsonl.ts";
import { Random } from "../random.ts";
import { textAt } from "../row-fields.ts";
import type { LocatedRow } from "../rows.ts";
import { Bm25 } from "./bm25.ts";

/** A row that may be shown. */
export interface Shown {
  readonly row: JsonObject;
  readonly prompt: string;
  readonly completion: string;
}

/** Reads rows of prompt and completion. Throws UserError for others; `flag` is what named the file. */
export async function readShown(file: string, flag?: string): Promise<Shown[]> {
  const rows: Shown[] = [];
  const given = { hint: "rows of prompt and completion, as JSON lines", ...(flag === undefined ? {} : { flag }) };
  for await (const { value, place } of readJsonFile(file, given)) {
    if (!isObject(value)) throw new UserError(`${place}: expected an object`, given.hint);
    rows.push({ row: value, prompt: textAt(value, "prompt", place), completion: textAt(value, "completion", place) });
  }
  return rows;
}

/** Places of a bank for a prompt, the best first; `key` tells one row from another where chance decides. */
export type Retrieve = (prompt: string, key: number | string) => Promise<readonly number[]> | readonly number[];

/** By rare words that prompts share; or in an order that the seed and the row decide. */
export function retrieverOf(by: "bm25" | "random", bank: readonly Shown[], seed: number): Retrieve {
  if (by === "random") return (_, key) => new Random(seed, "demos", key).shuffled([...bank.keys()]);
  const index = new Bm25(bank.map(({ prompt }) => prompt));
  return (prompt) => index.ranked(prompt).map(({ text }) => text);
}

export interface ShownSettings {
  readonly bank: readonly Shown[];
  readonly retrieve: Retrieve;
  /** Demonstrations before a prompt. */
  readonly count: number;
  readonly separator: string;
}

/** What stands before a prompt, the best one last; none that asks the same. */
export async function demonstrationsFor(
  prompt: string,
  key: number | string,
  { bank, retrieve, count, separator }: ShownSettings,
): Promise<string[]> {
  if (count === 0) return [];
  const others = (await retrieve(prompt, key)).filter((at) => bank[at]!.prompt !== prompt);
  const chosen = others.slice(0, count).map((at) => bank[at]!);
  return chosen.toReversed().map((one) => `${one.prompt}${one.completion}${separator}`);
}

/** A row behind all its demonstrations, then behind ever fewer of them, the best ones; last as it is. */
export async function rowsBehind({ row, place }: LocatedRow, settings: ShownSettings): Promise<LocatedRow[]> {
  if (row.form !== "completion")
    throw new UserError(
      `${place}: demonstrations stand before prompts with completions, and this row has none`,
      "leave out --demos, or give rows of prompt and completion",
    );
  const before = await demonstrationsFor(row.prompt, place, settings);
  return Array.from({ length: before.length + 1 }, (_, dropped) => ({
    row: { ...row, prompt: before.slice(dropped).join("") + row.prompt },
    place,
  }));
}
