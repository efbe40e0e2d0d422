/**
 * `merge --check`: do these models belong together? Vocabularies, shapes, types and architectures are compared by
 * headers and files alone. `relatedness` (plan/relatedness.ts) reads a few samples of the weights.
 */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { type Recipe, recipeReferences } from "../../checkpoint/lineage/recipe/recipe.ts";
import { referenceKey } from "../../checkpoint/reference.ts";
import { countTokens, type Vocabulary, vocabularyOf } from "../../data/vocabulary.ts";
import {
  configValue,
  isHead,
  isTied,
  mainStack,
  type NamedModel,
  nameModels,
  resolve,
  tokenTable,
} from "../../model/names.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { spellShape } from "../plan/align.ts";
import { counted } from "../plan/notes.ts";
import { tablesOf } from "../vocabulary/tables.ts";
import { chosenVocabulary } from "./chosen-vocabulary.ts";
import { compareVocabularies, type WithVocabulary } from "./compare-vocabularies.ts";
import type { CheckProblem } from "./problem.ts";

/** One model of the report. Undefined where the files do not say. */
export interface CheckRow {
  readonly ref: string;
  readonly role: "base" | "model";
  readonly architecture: string | undefined;
  readonly layers: number | undefined;
  readonly parameters: number;
  /** Types of the tensors with most elements first. */
  readonly dtypes: readonly string[];
  /** Rows of the token embedding. */
  readonly rows: number | undefined;
  /** Tokens of the tokenizer; fewer than rows means padding. */
  readonly tokens: number | undefined;
  readonly tied: boolean;
}

export interface CheckReport {
  readonly rows: readonly CheckRow[];
  readonly problems: readonly CheckProblem[];
}

/**
 * Compares every model of a recipe with its base, or with the first model. Reads no weights. Throws a UserError for a
 * config that is not JSON.
 */
export async function checkModels(
  recipe: Recipe,
  opened: ReadonlyMap<string, Checkpoint>,
  { allowMissing = false }: { allowMissing?: boolean } = {},
): Promise<CheckReport> {
  const references = recipeReferences(recipe);
  const baseKey = recipe.base === undefined ? undefined : referenceKey(recipe.base);
  const keys = [...new Set([baseKey ?? referenceKey(references[0]!), ...references.map(referenceKey)])];
  const checkpoints = new Map(keys.map((key) => [key, opened.get(key)!]));
  const renamed: string[] = [];
  const models = nameModels(checkpoints, keys[0]!, renamed);
  const read = [...models].map(([key, model]) => ({ key, model, vocabulary: vocabularyOf(model.checkpoint) }));
  const [first, ...others] = read;
  const problems: CheckProblem[] = renamed.map((message) => ({ level: "note", message }));
  for (const { model, vocabulary } of read) problems.push(...checkOne(model, vocabulary));
  const { tokenizer } = recipe;
  if (tokenizer) {
    const chosen = { first: first!.model, hasBase: baseKey !== undefined };
    problems.push(...(await chosenVocabulary(tokenizer, models, chosen)));
  }
  const level = allowMissing ? "warning" : "error";
  for (const other of others) problems.push(...comparePair(first!, other, level, tokenizer !== undefined));
  return { rows: read.map(({ key, model, vocabulary }) => rowOf(model, vocabulary, key === baseKey)), problems };
}

function rowOf(model: NamedModel, vocabulary: Vocabulary | undefined, isBase: boolean): CheckRow {
  const elements = new Map<string, number>();
  let parameters = 0;
  for (const { dtype, shape } of model.tensors.values()) {
    const count = sizeOf(shape);
    parameters += count;
    elements.set(dtype, (elements.get(dtype) ?? 0) + count);
  }
  const architectures = configValue(model.config, "architectures");
  const [named] = Array.isArray(architectures) ? (architectures as unknown[]) : [];
  const kind = typeof named === "string" ? named : configValue(model.config, "model_type");
  return {
    ref: model.ref,
    role: isBase ? "base" : "model",
    architecture: typeof kind === "string" ? kind : undefined,
    layers: mainStack(model)?.count,
    parameters,
    dtypes: [...elements].sort((a, b) => b[1] - a[1]).map(([dtype]) => dtype),
    rows: tokenTable(model)?.entry.shape[0],
    tokens: vocabulary && countTokens(vocabulary),
    tied: isTied(model) && ![...model.tensors.keys()].some(isHead),
  };
}

/** What can be wrong with a model on its own. */
function checkOne(model: NamedModel, vocabulary: Vocabulary | undefined): CheckProblem[] {
  const problems: CheckProblem[] = [];
  const { ref, checkpoint } = model;
  if (checkpoint.files.has("tokenizer.json") && vocabulary === undefined) {
    problems.push({
      level: "warning",
      message: `tokenizer.json of ${ref} cannot be read`,
      hint: "fetch the file again",
    });
  }
  const rows = tokenTable(model)?.entry.shape[0];
  const tokens = vocabulary && countTokens(vocabulary);
  if (rows === undefined || tokens === undefined) return problems;
  if (tokens > rows) {
    const message = `the tokenizer of ${ref} has ${tokens} tokens but its embedding only ${rows} rows`;
    problems.push({
      level: "error",
      message,
      hint: "tokens without a row make the model fail; use the tokenizer it was made with",
    });
  } else if (tokens < rows) {
    problems.push({ level: "note", message: `${ref} pads its embedding: ${rows} rows for ${tokens} tokens` });
  }
  return problems;
}

/** `chosen`: the recipe chooses a vocabulary, under which rows are merged by their tokens. */
function comparePair(
  one: WithVocabulary,
  other: WithVocabulary,
  ofMissing: CheckProblem["level"],
  chosen: boolean,
): CheckProblem[] {
  const problems: CheckProblem[] = chosen ? [] : compareVocabularies(one, other);
  const [first, model] = [one.model, other.model];
  const kinds = [first, model].map(({ config }) => configValue(config, "model_type"));
  if (typeof kinds[0] === "string" && typeof kinds[1] === "string" && kinds[0] !== kinds[1]) {
    const message = `${first.ref} is of type ${kinds[0]} but ${model.ref} of type ${kinds[1]}`;
    problems.push({ level: "warning", message, hint: "equal names and shapes may still mean different things" });
  }
  for (const key of ["rope_theta", "rms_norm_eps", "hidden_act", "num_attention_heads", "num_key_value_heads"]) {
    const [a, b] = [first, model].map(({ config }) => configValue(config, key));
    if (a === undefined || b === undefined || a === b) continue;
    const message = `${key} is ${a} in ${first.ref} but ${b} in ${model.ref}; the output gets ${a}`;
    problems.push({ level: "warning", message, hint: "the models may not be tuned from one base" });
  }
  return [...problems, ...compareTensors(first, model, ofMissing, chosen)];
}

function compareTensors(
  first: NamedModel,
  model: NamedModel,
  ofMissing: CheckProblem["level"],
  chosen: boolean,
): CheckProblem[] {
  const tables = new Set(chosen ? [first, model].flatMap(tablesOf) : []);
  const problems: CheckProblem[] = [];
  const differing: string[] = [];
  const lacking: string[] = [];
  const types = new Map<string, number>();
  for (const [name, entry] of first.tensors) {
    const other = model.tensors.get(name);
    if (other === undefined) {
      lacking.push(name);
      continue;
    }
    if (spellShape(entry.shape) !== spellShape(other.shape) && !tables.has(name)) differing.push(name);
    if (entry.dtype !== other.dtype) {
      const pair = `${entry.dtype} in ${first.ref} but ${other.dtype} in ${model.ref}`;
      types.set(pair, (types.get(pair) ?? 0) + 1);
    }
  }
  const extra = [...model.tensors.keys()].filter((name) => !first.tensors.has(name));
  const most = first.tensors.size;
  if (lacking.length * 2 > most) {
    const message = `${model.ref} has only ${most - lacking.length} of the ${most} tensors of ${first.ref}, by name`;
    return [{ level: "error", message, hint: "these are different architectures; merge needs one" }];
  }
  const table = tokenTable(first)?.name;
  for (const name of differing.slice(0, 3)) {
    const [a, b] = [first, model].map((one) => `${spellShape(one.tensors.get(name)!.shape)} in ${one.ref}`);
    const isTable = name === table || isHead(name);
    const hint = isTable
      ? "methods cut it to the common rows, or to the base's"
      : "these are models of different sizes";
    problems.push({ level: isTable ? "warning" : "error", message: `${name} is ${a} but ${b}`, hint });
  }
  if (differing.length > 3) {
    problems.push({
      level: "error",
      message: `${counted(differing.length - 3, "more tensor")} of another shape in ${model.ref} than in ${first.ref}`,
    });
  }
  for (const [pair, count] of types)
    problems.push({ level: "note", message: `${counted(count, "tensor")} stored as ${pair}` });
  for (const [names, has, lacks] of [
    [lacking, first, model],
    [extra, model, first],
  ] as const) {
    const untied = names.filter((name) => resolve(lacks, name) === undefined);
    if (untied.length === 0) continue;
    const more = untied.length > 1 ? ` and ${untied.length - 1} more` : "";
    problems.push({ level: ofMissing, message: `${lacks.ref} lacks ${untied[0]}${more}, which ${has.ref} has` });
  }
  return problems;
}
