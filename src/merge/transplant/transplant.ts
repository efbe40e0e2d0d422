/**
 * A model under the tokenizer of another: the rows of tokens that both know move to the donor's ids, those of the
 * others are approximated, in the table and in the head, each from its own rows.
 *
 * mergekit-tokensurgeon's rules (https://github.com/arcee-ai/mergekit); what token-keys.ts reads otherwise stands
 * there.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import type { NamedModel } from "../../model/names.ts";
import type { Approximation, SharedRows, TableQuestion } from "../approximation.ts";
import { mixedTable, type NewRow } from "../vocabulary/mixed-table.ts";
import { RowTable } from "../vocabulary/row-table.ts";
import { pieceSpeller } from "../vocabulary/spell-pieces.ts";
import { heightOf, tableFor, tablesOf, useOf } from "../vocabulary/tables.ts";
import { type KeyedVocabulary, keyedVocabulary } from "../vocabulary/token-keys.ts";
import { allowedIn, exactId, type Matches, matchTokens, type Where } from "./match-tokens.ts";

export interface TransplantOptions {
  readonly approximate: Bound<Approximation>;
  readonly prefixMatch: Where;
  readonly byteMatch: Where;
  /** Standard deviation of noise on approximated rows, and a scale after it. */
  readonly noise: number;
  readonly scale: number;
  readonly padTo: number;
  readonly seed: number;
}

/** A table of the result before its rows are made. */
export interface PlannedTable {
  readonly name: string;
  readonly use: "embedding" | "head";
  readonly own: RowTable;
  readonly donor: RowTable | undefined;
  readonly matches: Matches;
  readonly shared: SharedRows;
}

export interface TransplantPlan {
  readonly model: NamedModel;
  readonly donor: NamedModel;
  readonly donorTokens: KeyedVocabulary;
  readonly tables: readonly PlannedTable[];
  /** Rows of every table of the result. */
  readonly rows: number;
  readonly warnings: readonly string[];
}

/** Reads no weight. Throws UserError where a tokenizer or a table is missing, or nothing is shared. */
export function planTransplant(model: NamedModel, donor: NamedModel, options: TransplantOptions): TransplantPlan {
  const [modelTokens, donorTokens] = [vocabularyFor(model), vocabularyFor(donor)];
  const names = tablesOf(model);
  if (names.length === 0)
    throw new UserError(`${model.ref} has no table of tokens`, "transplant is for language models with an embedding");
  const tables = names.map((name) => planTable(name, { model, donor, modelTokens, donorTokens }, options));
  const tokens = (donorTokens.tokens.at(-1)?.id ?? -1) + 1;
  const rows = Math.ceil(tokens / options.padTo) * options.padTo;
  return { model, donor, donorTokens, tables, rows, warnings: gaps(donor, donorTokens, tokens) };
}

function vocabularyFor({ checkpoint, ref }: NamedModel): KeyedVocabulary {
  const found = keyedVocabulary(checkpoint);
  if (found && found.tokens.length > 0) return found;
  throw new UserError(
    `${ref} has no tokenizer.json that says which row is which token`,
    "put the file beside the weights; transformers saves it with a fast tokenizer",
  );
}

function gaps({ ref }: NamedModel, { tokens }: KeyedVocabulary, count: number): string[] {
  const empty = count - new Set(tokens.map(({ id }) => id)).size;
  return empty > 0 ? [`${empty} ids of ${ref} have no token: their rows are the mean of the model's`] : [];
}

interface Sides {
  readonly model: NamedModel;
  readonly donor: NamedModel;
  readonly modelTokens: KeyedVocabulary;
  readonly donorTokens: KeyedVocabulary;
}

function planTable(
  name: string,
  { model, donor, modelTokens, donorTokens }: Sides,
  { approximate: { method }, prefixMatch, byteMatch }: TransplantOptions,
): PlannedTable {
  const use = useOf(name);
  const entry = model.tensors.get(name)!;
  const theirs = tableFor(donor, use);
  for (const [of, table] of [
    [model, entry],
    [donor, theirs],
  ] as const)
    if (table) checkTable(of, table);
  const height = heightOf(model);
  const allowed = { prefix: allowedIn(prefixMatch, use), byte: allowedIn(byteMatch, use) };
  const matches = matchTokens(donorTokens, modelTokens, { height, allowed });
  const shared = donorTokens.tokens.flatMap((token) => {
    const own = exactId(token, modelTokens);
    return own === undefined || own >= height || token.id >= (theirs?.shape[0] ?? 0) ? [] : [[token.id, own] as const];
  });
  if (method.needs.includes("donor") && matches.wanted.length > 0)
    checkDonor(donor, { use, theirs, shared: shared.length, wanted: matches.wanted }, method.name);
  return {
    name,
    use,
    own: new RowTable(entry),
    donor: theirs && new RowTable(theirs),
    matches,
    shared: {
      donor: Int32Array.from(shared, ([id]) => id),
      own: Int32Array.from(shared, ([, id]) => id),
    },
  };
}

const OTHER_WAYS = "--approximate subword, mean and zero do without";

function checkDonor(
  donor: NamedModel,
  found: Pick<PlannedTable, "use"> & {
    readonly theirs: TensorEntry | undefined;
    readonly shared: number;
    readonly wanted: Matches["wanted"];
  },
  method: string,
): void {
  if (found.theirs === undefined)
    throw new UserError(`${donor.ref} has no ${found.use}, which ${method} reads`, OTHER_WAYS);
  const [rows = 0] = found.theirs.shape;
  const beyond = found.wanted.find(({ id }) => id >= rows);
  if (beyond)
    throw new UserError(
      `${donor.ref} has no row for its token ${JSON.stringify(beyond.token)} (${beyond.id}): its ${found.use} has ${rows}`,
      "use the tokenizer that it was made with",
    );
  if (found.shared === 0)
    throw new UserError(`no token of ${donor.ref} is known to the model, and ${method} is made of those`, OTHER_WAYS);
}

function checkTable({ ref }: NamedModel, entry: TensorEntry): void {
  if (entry.patch !== undefined)
    throw new UserError(
      `the adapter on ${ref} changes ${entry.name}, whose rows are moved`,
      "merge the adapter into its base first: ingot merge base+adapter --method passthrough -o merged/",
    );
  if (!isFloat(entry.dtype))
    throw new UserError(`${entry.name} of ${ref} is ${entry.dtype}, which holds no real numbers`, "is it the weight?");
}

/** What the making of rows needs of its run. */
export interface Run {
  gpu(): Promise<Gpu>;
  advance(rows: number): void;
  readonly signal: AbortSignal;
  warn(message: string): void;
}

/** The tables of the result, by name; their rows are put together while they are read. */
export async function transplantTables(
  plan: TransplantPlan,
  options: TransplantOptions,
  run: Run,
): Promise<Map<string, TensorEntry>> {
  const { method, values } = options.approximate;
  const spell = method.needs.includes("pieces") ? await pieceSpeller(plan.model.checkpoint) : () => [];
  const keyed = new Map(plan.donorTokens.tokens.map((token) => [token.id, token]));
  const found = new Map<string, TensorEntry>();
  for (const table of plan.tables) {
    const { matches, own } = table;
    const key = [options.seed, table.name];
    const question: TableQuestion = {
      ...table,
      wanted: matches.wanted,
      pieces: ({ id }) => spell(keyed.get(id)!).filter((piece) => piece < own.rows),
      key,
      ...run,
    };
    const made = matches.wanted.length > 0 ? await method.rows(question, values) : undefined;
    const places = new Map(matches.wanted.map(({ id }, place) => [id, place]));
    const mean = plan.rows > places.size + matches.rows.size ? await own.mean() : undefined;
    const source = (row: number): number | NewRow => {
      const place = places.get(row);
      return place === undefined ? (matches.rows.get(row) ?? mean!) : made!(place);
    };
    const finish = finisher(options, key, places);
    found.set(table.name, mixedTable(own.entry, { count: plan.rows, source, ...(finish && { finish }) }));
  }
  return found;
}

/** Noise and scale of approximated rows, in this order; undefined where there is neither. */
function finisher(
  { noise, scale }: TransplantOptions,
  key: readonly (string | number)[],
  places: ReadonlyMap<number, number>,
) {
  if (noise === 0 && scale === 1) return undefined;
  return (row: number, values: Float64Array): void => {
    if (!places.has(row)) return;
    const random = new Random(...key, "noise", row);
    for (let i = 0; i < values.length; i++) {
      const drawn = noise === 0 ? 0 : noise * random.normal();
      values[i] = (values[i]! + drawn) * scale;
    }
  };
}
