/** Models under the vocabulary that a recipe chooses: their tables of tokens get its rows before anything is merged. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import type { TokenizerRecipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import { type ModelReference, referenceKey } from "../../checkpoint/reference.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { numeralOf } from "../../data/numeric/numerals.ts";
import { vocabularyOf } from "../../data/vocabulary.ts";
import { type NamedModel, resolve } from "../../model/names.ts";
import { columnsOf, isOfRows, type Row, type RowSource, reRowed } from "./rows.ts";
import { pieceSpeller } from "./spell-pieces.ts";
import { heightOf, tablesOf, useOf } from "./tables.ts";
import { type Known, knownVocabularies, type Target, targetOf } from "./target.ts";

export interface Revised {
  readonly models: ReadonlyMap<string, NamedModel>;
  readonly target: Target;
  /** Rows of the tables, padding among them. */
  readonly rows: number;
}

/**
 * `first`: the base, or the first model; `hasBase` says which. Undefined where there is nothing to revise. Throws
 * UserError where the recipe names what is not there, where a table comes through a pipe whose rows would have to be
 * read out of order, or where an adapter changes it.
 */
export async function revise(
  recipe: TokenizerRecipe,
  models: ReadonlyMap<string, NamedModel>,
  { first, hasBase }: { readonly first: NamedModel; readonly hasBase: boolean },
  warnings: string[],
): Promise<Revised | undefined> {
  if (isWithoutVocabulary(recipe, models)) return undefined;
  const known = knownVocabularies(recipe, models);
  const target = targetOf(recipe, known, first, warnings);
  const rows = recipe.padTo === undefined ? target.size : Math.ceil(target.size / recipe.padTo) * recipe.padTo;
  const all = [...known.values()];
  warnings.push(...dropped(all, target), ...gaps(target));
  const sources = new RowSources(recipe, known, target, hasBase ? first : undefined);
  await sources.cutPieces();
  const revised = all.map((one) => withRows(one, all, sources.of(one, rows), recipe));
  return {
    models: new Map([...known.keys()].map((key, i) => [key, revised[i]!])),
    target,
    rows,
  };
}

/** Whether no model says which token has which row, and the recipe asks for nothing but what all have alike. */
function isWithoutVocabulary(
  { source, tokens, padTo }: TokenizerRecipe,
  models: ReadonlyMap<string, NamedModel>,
): boolean {
  const all = [...models.values()].map(({ checkpoint }) => checkpoint);
  const texts = all.map(({ files }) => new TextDecoder().decode(files.get("tokenizer.json")));
  const plain = typeof source === "string" && tokens.length === 0 && padTo === undefined;
  return plain && texts.every((text) => text === texts[0]) && vocabularyOf(all[0]!) === undefined;
}

/** What models lose: tokens that the vocabulary lacks, and rows without a token. */
function dropped(all: readonly Known[], { tokens, source }: Target): string[] {
  return all.flatMap(({ model, tokens: own }) => {
    const lost = [...own.keys()].filter((token) => !tokens.has(token)).length;
    const height = heightOf(model);
    const bare = height - new Set([...own.values()].filter((id) => id < height)).size;
    return [
      ...(lost > 0
        ? [`${lost} tokens of ${model.ref} are not in the tokenizer of ${source.ref}: their rows are left out`]
        : []),
      ...(bare > 0 ? [`${bare} rows of ${model.ref} have no token and are left out`] : []),
    ];
  });
}

/** Ids below the last that no token has: each has a row, of no model. */
function gaps({ tokens, size, source }: Target): string[] {
  const count = size - new Set(tokens.values()).size;
  return count > 0 ? [`${count} ids of ${source.ref} have no token: their rows are the mean of all others`] : [];
}

function withRows(
  { model }: Known,
  all: readonly Known[],
  rows: readonly RowSource[],
  recipe: TokenizerRecipe,
): NamedModel {
  const place = all.findIndex((one) => one.model === model);
  const same =
    rows.length === heightOf(model) &&
    rows.every((row, i) => isOfRows(row) && row.length === 1 && row[0]!.table === place && row[0]!.row === i);
  if (same) return model;
  const tensors = new Map(model.tensors);
  for (const name of tablesOf(model)) {
    const own = model.tensors.get(name)!;
    const tables = all.map((one) => {
      const table = resolve(one.model, name);
      if (table) checkTable(table, own, one.model, recipe);
      return table;
    });
    const found = rows.map((row) => ofTables(row, tables, useOf(name) === "embedding"));
    tensors.set(
      name,
      reRowed(
        own,
        tables.map((table) => table ?? own),
        found,
      ),
    );
  }
  return { ...model, tensors };
}

/**
 * A row without the models that lack this table, as a bias of the head; the mean of all others where none is left.
 * Numbers are encoded where tokens are read, and not where they are told apart.
 */
function ofTables(row: RowSource, tables: readonly (TensorEntry | undefined)[], isRead: boolean): RowSource {
  if (!isOfRows(row)) return isRead ? row : "padding";
  const found = row.filter(({ table }) => tables[table]);
  return row.length > 0 && found.length === 0 ? "padding" : found;
}

function checkTable(
  table: TensorEntry,
  own: TensorEntry,
  { ref, checkpoint }: NamedModel,
  recipe: TokenizerRecipe,
): void {
  if (columnsOf(table) !== columnsOf(own))
    throw recipe.fail(
      `${own.name} has rows of ${columnsOf(table)} in ${ref}, of ${columnsOf(own)} in another model`,
      "models of different widths cannot share rows; merge needs models of one size",
    );
  if (table.patch !== undefined)
    throw recipe.fail(
      `the adapter on ${ref} changes ${own.name}, whose rows this recipe moves`,
      "merge the adapter into its base first: ingot merge base+adapter --method passthrough -o merged/",
    );
  if (isStream(checkpoint))
    throw recipe.fail(
      `${ref} comes through a pipe, and this recipe reads rows of its ${own.name} in another order`,
      "write it to a file first",
    );
}

/** Where the rows of each model come from. */
class RowSources {
  readonly #recipe: TokenizerRecipe;
  readonly #known: ReadonlyMap<string, Known>;
  readonly #places: ReadonlyMap<Known, number>;
  readonly #target: Target;
  readonly #base: Known | undefined;
  /** The most that a digit among the numerals is worth. */
  readonly #largest: number;
  /** Rows of the pieces of tokens that are made of them, by model. */
  readonly #pieces = new Map<Known, ReadonlyMap<string, readonly number[]>>();

  constructor(recipe: TokenizerRecipe, known: ReadonlyMap<string, Known>, target: Target, base?: NamedModel) {
    this.#recipe = recipe;
    this.#known = known;
    this.#places = new Map([...known.values()].map((one, place) => [one, place]));
    this.#target = target;
    this.#base = [...known.values()].find(({ model }) => model === base);
    this.#largest = recipe.tokens.reduce((most, { token, source }) => {
      const numeral = source?.kind === "numeral" ? numeralOf(token) : undefined;
      return numeral ? Math.max(most, numeral.digit * 10 ** numeral.place) : most;
    }, 0);
  }

  /** Cuts the tokens that are made of their pieces. Throws UserError for a tokenizer that cannot be read. */
  async cutPieces(): Promise<void> {
    const tokens = this.#recipe.tokens.flatMap(({ token, source }) => (source?.kind === "pieces" ? [token] : []));
    if (tokens.length === 0) return;
    for (const one of this.#known.values()) {
      const spell = await pieceSpeller(one.model.checkpoint);
      const height = heightOf(one.model);
      const cut = (token: string) => spell({ id: -1, token, keys: [`text:${token}`] }).filter((id) => id < height);
      this.#pieces.set(one, new Map(tokens.map((token) => [token, cut(token)])));
    }
  }

  of(own: Known, count: number): RowSource[] {
    const rules = new Map(this.#recipe.tokens.map((rule) => [rule.token, rule]));
    const rows: RowSource[] = Array.from({ length: count }, () => "padding");
    for (const [token, id] of this.#target.tokens) {
      const rule = rules.get(token);
      const mine = this.#row(own, token);
      if (mine && !rule?.force) rows[id] = [mine];
      else if (rule?.source) rows[id] = this.#named(own, token, rule.source);
      else rows[id] = mine ? [mine] : this.#borrowed(token);
    }
    return rows;
  }

  /** The row of a token in a model, if it has one. */
  #row(one: Known, token: string): Row | undefined {
    const id = one.tokens.get(token);
    if (id === undefined || id >= heightOf(one.model)) return undefined;
    return { table: this.#places.get(one)!, row: id };
  }

  /** For a model that lacks it: the row of the only one that has it, else the base's, else the mean. */
  #borrowed(token: string): readonly Row[] {
    const found = [...this.#known.values()].flatMap((one) => this.#row(one, token) ?? []);
    if (found.length === 0)
      throw this.#recipe.fail(`no model has a row for ${token}, and its row has no source`, "name one under tokens");
    const base = this.#base && this.#row(this.#base, token);
    return found.length > 1 && base ? [base] : found;
  }

  #named(own: Known, token: string, source: NonNullable<TokenizerRecipe["tokens"][number]["source"]>): RowSource {
    if (source.kind === "zero") return [];
    if (source.kind === "mean") return "padding";
    if (source.kind === "numeral") {
      const numeral = numeralOf(token);
      return numeral ? { share: (numeral.digit * 10 ** numeral.place) / this.#largest } : "padding";
    }
    if (source.kind === "pieces") {
      const table = this.#places.get(own)!;
      const rows = this.#pieces
        .get(own)!
        .get(token)!
        .map((row) => ({ table, row }));
      return rows.length > 0 ? rows : "padding";
    }
    const one = this.#model(source.ref, token);
    const wanted = source.kind === "model" ? token : source.token;
    const row = typeof wanted === "string" ? this.#row(one, wanted) : { table: this.#places.get(one)!, row: wanted };
    if (row === undefined || row.row >= heightOf(one.model))
      throw this.#recipe.fail(
        `${token}: ${one.model.ref} has no row for ${typeof wanted === "string" ? wanted : `the id ${wanted}`}`,
        `it has ${heightOf(one.model)} rows; name a token of its tokenizer`,
      );
    return [row];
  }

  #model(ref: ModelReference, token: string): Known {
    const one = this.#known.get(referenceKey(ref));
    if (one) return one;
    throw this.#recipe.fail(
      `${token}: ${referenceKey(ref)} is not among the models`,
      `rows come from one of ${[...this.#known.keys()].join(", ")}`,
    );
  }
}
