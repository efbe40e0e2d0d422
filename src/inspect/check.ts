/** What is wrong with a checkpoint on its own: bad values, and tensors that its config or index contradicts. */
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { isFloat } from "../checkpoint/dtype.ts";
import { countTokens, vocabularyOf } from "../data/vocabulary.ts";
import { show } from "../json.ts";
import { impossibleValues } from "../model/config-values.ts";
import {
  configValue,
  isHead,
  LAYER_KEYS,
  layerOf,
  mainStack,
  type NamedModel,
  nameModels,
  tokenTable,
} from "../model/names.ts";
import { spellNumbers } from "./groups.ts";
import type { IndexFacts } from "./overview.ts";
import type { Tally } from "./statistics.ts";

export interface Problem {
  /** error: the model fails or gives nonsense. warning: it loads, but not as one may expect. */
  readonly level: "error" | "warning";
  readonly message: string;
}

/** Matrices of adapters that begin as 0. */
const ZERO_AT_FIRST = /lora_(embedding_)?B|\.(hada_w2_b|lokr_w1(_a)?|oft_R\.weight|boft_R|adapter_up\.weight)$/;

/** At most this many names in a message. */
const NAMED = 3;

const listed = (names: readonly string[]): string =>
  names.slice(0, NAMED).map(show).join(", ") + (names.length > NAMED ? ` and ${names.length - NAMED} more` : "");

const spell = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/** Problems that the values show. Those of one tensor are one line each; zeros are gathered. */
export function checkValues(tallies: ReadonlyMap<string, { entry: TensorEntry; tally: Tally }>): Problem[] {
  const problems: Problem[] = [];
  const zeros = { matrices: [] as string[], vectors: [] as string[] };
  for (const [name, { entry, tally }] of tallies) {
    const { values, nan, inf } = tally;
    if (nan > 0) problems.push({ level: "error", message: `${show(name)} has ${nan} NaN among ${values} values` });
    if (inf > 0)
      problems.push({
        level: "error",
        message: `${show(name)} has ${inf} ${inf === 1 ? "infinity" : "infinities"} among ${values} values`,
      });
    if (values === 0 || tally.zeros < values || !isFloat(entry.dtype)) continue;
    // Adapters begin with one of their matrices 0, biases and some norms with 0.
    const usual = entry.shape.length < 2 || ZERO_AT_FIRST.test(name);
    (usual ? zeros.vectors : zeros.matrices).push(name);
  }
  if (zeros.matrices.length > 0) problems.push({ level: "error", message: `all zero: ${listed(zeros.matrices)}` });
  if (zeros.vectors.length > 0) problems.push({ level: "warning", message: `all zero: ${listed(zeros.vectors)}` });
  return problems;
}

/** Problems that headers and files show; reads no weights. */
export function checkHeaders(checkpoint: Checkpoint, index: IndexFacts | undefined): Problem[] {
  const problems: Problem[] = [];
  const floats = Map.groupBy(
    [...checkpoint.tensors.values()].filter(({ dtype }) => isFloat(dtype)),
    ({ dtype }) => dtype,
  );
  if (floats.size > 1) {
    const [most, ...others] = [...floats].sort(([, a], [, b]) => b.length - a.length);
    for (const [dtype, own] of others) {
      const message = `${own.length} of the float tensors are ${dtype} and ${most![1].length} ${most![0]}: ${listed(own.map(({ name }) => name))}`;
      problems.push({ level: "warning", message });
    }
  }
  const bytes = [...checkpoint.tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
  if (index?.totalSize !== undefined && index.totalSize !== bytes) {
    // Writers disagree on what it counts, and no loader depends on it.
    problems.push({
      level: "warning",
      message: `${show(index.name)} says total_size ${index.totalSize}, the tensors take ${bytes} bytes`,
    });
  }
  const model = nameModels(new Map([["it", checkpoint]]), "it", []).get("it")!;
  if (model.config === undefined) return problems;
  if (checkpoint.undecoded !== undefined) return [...problems, error(checkpoint.undecoded)];
  const values = impossibleValues(model.config, "config.json").map(error);
  return [...problems, ...values, ...checkLayers(model), ...checkTables(model), ...checkShapes(model)];
}

const error = (message: string): Problem => ({ level: "error", message });

const numberIn = (model: NamedModel, ...keys: string[]): number | undefined => {
  const value = configValue(model.config, ...keys);
  return typeof value === "number" && value > 0 ? value : undefined;
};

function checkLayers(model: NamedModel): Problem[] {
  const problems: Problem[] = [];
  const key = LAYER_KEYS.find((name) => configValue(model.config, name) !== undefined);
  const said = key === undefined ? undefined : numberIn(model, key);
  // Layers for predicting further tokens (DeepSeek's) stand after the others and are counted apart.
  const allowed = [said, (said ?? 0) + (numberIn(model, "num_nextn_predict_layers") ?? 0)];
  const stacks = [...model.stacks.values()];
  if (said !== undefined && stacks.length > 0 && !stacks.some(({ count }) => allowed.includes(count))) {
    const longest = stacks.reduce((a, b) => (b.count > a.count ? b : a));
    problems.push(error(`config.json says ${key} ${said}, but ${show(longest.prefix)} has ${longest.count} layers`));
  }
  const main = mainStack(model);
  if (main === undefined) return problems;
  const found = new Set<number>();
  for (const name of model.tensors.keys()) {
    const layer = layerOf(name);
    if (layer?.prefix === main.prefix) found.add(layer.index);
  }
  const missing = Array.from({ length: main.count }, (_, i) => i).filter((i) => !found.has(i));
  if (missing.length > 0) problems.push(error(`${show(main.prefix)} lacks layer ${spellNumbers(missing)}`));
  return problems;
}

function checkTables(model: NamedModel): Problem[] {
  const problems: Problem[] = [];
  const vocab = numberIn(model, "vocab_size");
  const tables = [tokenTable(model)?.entry, [...model.tensors].find(([name]) => isHead(name))?.[1]];
  for (const table of tables) {
    if (vocab === undefined || table === undefined || table.shape[0] === vocab) continue;
    problems.push(error(`config.json says vocab_size ${vocab}, but ${show(table.name)} has ${table.shape[0]} rows`));
  }
  const rows = tables[0]?.shape[0];
  const vocabulary = vocabularyOf(model.checkpoint);
  const tokens = vocabulary && countTokens(vocabulary);
  if (rows !== undefined && tokens !== undefined && tokens > rows) {
    problems.push(error(`the tokenizer has ${tokens} tokens, but ${show(tables[0]!.name)} only ${rows} rows`));
  }
  const architecture = String((configValue(model.config, "architectures") as unknown[] | undefined)?.[0] ?? "");
  const untied = configValue(model.config, "tie_word_embeddings") === false;
  if (untied && tables[0] && !tables[1] && /CausalLM|LMHead/.test(architecture)) {
    problems.push(error("config.json says tie_word_embeddings false, but there is no head"));
  }
  return problems;
}

/** Rows and columns of matrices whose names mean one thing in every architecture that has them (stored (out, in)). */
function checkShapes(model: NamedModel): Problem[] {
  const hidden = numberIn(model, "hidden_size");
  const inner = numberIn(model, "intermediate_size");
  const heads = numberIn(model, "num_attention_heads");
  const size = numberIn(model, "head_dim") ?? (hidden && heads ? hidden / heads : undefined);
  const groups = numberIn(model, "num_key_value_heads") ?? heads;
  const query = heads && size ? heads * size : undefined;
  const key = groups && size ? groups * size : undefined;
  // Compressed attention (MLA) and gated queries have other shapes under the same names.
  const plain = !/deepseek|minicpm3|qwen3_next|qwen3_5/.test(String(configValue(model.config, "model_type")));
  const facts: [pattern: RegExp, axis: number, expected: number | undefined, keys: string][] = [
    [/\.mlp\.(up|gate)_proj\.weight$/, 0, inner, "intermediate_size"],
    [/\.mlp\.(up|gate)_proj\.weight$/, 1, hidden, "hidden_size"],
    [/\.mlp\.down_proj\.weight$/, 1, inner, "intermediate_size"],
    [/\.self_attn\.q_proj\.weight$/, 0, plain ? query : undefined, "num_attention_heads x head_dim"],
    [/\.self_attn\.[kv]_proj\.weight$/, 0, plain ? key : undefined, "num_key_value_heads x head_dim"],
    [/\.self_attn\.[qkv]_proj\.weight$/, 1, plain ? hidden : undefined, "hidden_size"],
    [/(^|\.)embed_tokens\.weight$/, 1, hidden, "hidden_size"],
  ];
  const main = mainStack(model);
  const wrong = new Map<string, { names: string[]; shape: readonly number[] }>();
  for (const [name, entry] of model.tensors) {
    const layer = layerOf(name);
    // Other towers (vision, audio) have their own facts.
    if (layer && layer.prefix !== main?.prefix) continue;
    for (const [pattern, axis, expected, keys] of facts) {
      const found = entry.shape[axis];
      if (expected === undefined || !pattern.test(name) || entry.shape.length !== 2 || found === expected) continue;
      const fact = `config.json says ${keys} = ${expected}, but`;
      const list = wrong.get(fact) ?? { names: [], shape: entry.shape };
      wrong.set(fact, list);
      list.names.push(entry.name);
    }
  }
  return [...wrong].map(([fact, { names, shape }]) => error(`${fact} ${listed(names)} is ${spell(shape)}`));
}
