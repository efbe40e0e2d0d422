/**
 * A model with the tokens of its vocabulary that texts need: rows of kept tokens are kept bit for bit, so that its
 * logits for them are the same, and texts are cut into the same tokens as before.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import { namedSpecialTokens } from "../../data/special-tokens.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { NamedModel } from "../../model/names.ts";
import { outputFiles } from "../plan/output-config.ts";
import { mixedTable, type NewRow } from "../vocabulary/mixed-table.ts";
import { RowTable } from "../vocabulary/row-table.ts";
import { heightOf, tablesOf } from "../vocabulary/tables.ts";
import { changeStatedIds, listedIds, putTokenizer } from "../vocabulary/tokenizer-files.ts";
import { allTokens, type Kept, keptTokens } from "./kept-tokens.ts";
import { readTokenizerJson, type TokenizerJson } from "./tokenizer-json.ts";
import { newIds, trimmedConfig, trimmedTokenizer } from "./trimmed-tokenizer.ts";

const ROLES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map((role) => `${role}_token`);

export interface TrimOptions {
  /** How often a token must stand in the texts. */
  readonly minCount: number;
  readonly padTo: number;
  /** Tokens, or texts whose tokens stay. */
  readonly keep: readonly string[];
}

export interface TrimPlan {
  readonly model: NamedModel;
  readonly kept: Kept;
  /** Old id of each new one. */
  readonly old: readonly number[];
  /** Rows of every table of the result. */
  readonly rows: number;
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly warnings: readonly string[];
}

/** Texts of tokens that a post-processor puts around others. */
function processorTokens(part: Json | undefined): string[] {
  if (Array.isArray(part)) {
    if (part.length === 2 && typeof part[0] === "string" && typeof part[1] === "number") return [part[0]];
    return part.flatMap(processorTokens);
  }
  if (!isObject(part)) return [];
  return Object.entries(part).flatMap(([key, value]) =>
    key === "special_tokens" && isObject(value)
      ? Object.values(value).flatMap((entry) =>
          isObject(entry) && Array.isArray(entry.tokens) ? entry.tokens.map(String) : [],
        )
      : processorTokens(value),
  );
}

/** Tokens that stay whatever the texts are: special ones by their texts, those that configs name by their ids. */
function specialTokens({ checkpoint, ref }: NamedModel, { file }: TokenizerJson): Set<string | number> {
  const named = namedSpecialTokens(checkpoint.files, ref);
  const special = new Set<string | number>(processorTokens(file.post_processor));
  for (const role of ROLES) {
    const text = named(role);
    if (text !== undefined) special.add(text);
  }
  changeStatedIds(new Map(checkpoint.files), ref, (id) => {
    special.add(id);
    return id;
  });
  return special;
}

/** Ids of the tokens that a list names: a token as the vocabulary spells it, else what its text is cut into. */
export function idsOfList(list: readonly string[], tokenizer: TokenizerJson, cut: Tokenizer): Set<number> {
  const all = allTokens(tokenizer);
  return new Set(list.flatMap((line) => (all.has(line) ? [all.get(line)!] : [...cut.encode(line)])));
}

/** Reads no weight. Throws UserError for a model without tables or whose tokenizer is of another kind. */
export function planTrim(
  model: NamedModel,
  counts: ReadonlyMap<number, number>,
  cut: Tokenizer,
  options: TrimOptions,
): TrimPlan {
  const { ref, checkpoint } = model;
  const height = checkTables(model);
  const tokenizer = readTokenizerJson(checkpoint.files.get("tokenizer.json")!, ref);
  const often = (wanted: boolean) =>
    [...counts].filter(([, count]) => count >= options.minCount === wanted).map(([id]) => id);
  const kept = keptTokens(tokenizer, {
    used: new Set([...often(true), ...idsOfList(options.keep, tokenizer, cut)]),
    rare: new Set(often(false)),
    special: specialTokens(model, tokenizer),
  });
  const { ids, old } = newIds(tokenizer, kept.tokens);
  const beyond = kept.tokens.find(([, id]) => id >= height);
  if (beyond)
    throw new UserError(
      `${ref} has no row for its token ${JSON.stringify(beyond[0])} (${beyond[1]}): its tables have ${height}`,
      "use the tokenizer that it was made with",
    );
  const rows = Math.ceil(old.length / options.padTo) * options.padTo;
  const warnings: string[] = [];
  const files = outputFiles(model, { stacks: [], untied: false, vocabulary: rows }, warnings);
  const places = new Map(old.map((id, place) => [id, place]));
  const left = putTokenizer(files, trimmedTokenizer(tokenizer, ids));
  if (left.length > 0) warnings.push(`${left.join(", ")} of ${ref} have all tokens and are left out`);
  const config = files.get("tokenizer_config.json");
  if (config)
    files.set(
      "tokenizer_config.json",
      trimmedConfig(config, ref, (id) => places.get(id)),
    );
  changeStatedIds(files, ref, (id, { file, path }) => {
    if (!places.has(id)) warnings.push(`${file}: ${path} ${id} is no token of ${ref}; look at it`);
    return places.get(id) ?? id;
  });
  warnings.push(...listedIds(files, ref, (id) => places.get(id)));
  return { model, kept, old, rows, files, warnings };
}

/** Rows of the tables. */
function checkTables(model: NamedModel): number {
  const names = tablesOf(model);
  if (names.length === 0) throw new UserError(`${model.ref} has no table of tokens`, "trim is for language models");
  const odd = names.map((name) => model.tensors.get(name)!).find(({ dtype }) => !isFloat(dtype));
  if (odd)
    throw new UserError(
      `${odd.name} of ${model.ref} is ${odd.dtype}, which holds no real numbers`,
      "is it the weight?",
    );
  return heightOf(model);
}

/** The tables of the result, by name. Padding is the mean of all kept rows. */
export async function trimTables({ model, old, rows }: TrimPlan): Promise<Map<string, TensorEntry>> {
  const found = new Map<string, TensorEntry>();
  for (const name of tablesOf(model)) {
    const own = new RowTable(model.tensors.get(name)!);
    const padding = rows > old.length ? await meanOf(own, old) : undefined;
    const source = (row: number): number | NewRow => old[row] ?? padding!;
    found.set(name, mixedTable(own.entry, { count: rows, source }));
  }
  return found;
}

async function meanOf(table: RowTable, ids: readonly number[]): Promise<Float64Array> {
  const sum = new Float64Array(table.columns);
  await table.visit(ids, (_, values) => {
    for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
  });
  return sum.map((value) => value / ids.length);
}
