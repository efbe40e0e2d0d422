/**
 * Encoders as what turns texts into vectors: the states of a text's tokens, pooled, as sentence-transformers does.
 * Reimers and Gurevych, EMNLP 2019, https://arxiv.org/abs/1908.10084
 *
 * Of pairs of texts an embedder is a classifier whose classes are the batch: `hidden` holds the first text of every
 * pair, and the head compares it with all second ones. So InfoNCE (van den Oord et al. 2018,
 * https://arxiv.org/abs/1807.03748) is cross-entropy, and whatever takes a classifier's logits takes these.
 */
import { UserError } from "../errors.ts";
import { decodeText, isObject, type Json, type JsonObject, parseJson, show } from "../json.ts";
import { add, addScalar, clamp, div, maximum, mul, scale, sqrt, sumTo } from "../tensor/ops/elementwise.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { linear } from "../tensor/ops/linear.ts";
import { unitRows } from "../tensor/ops/unit-rows.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Architecture, Inputs, TextInputs } from "./architecture.ts";

/** How the states of a text's tokens become one vector. */
export type PoolingName = "mean" | "sqrt" | "cls" | "max";

export interface Pooling {
  readonly by: PoolingName;
  /** Whether vectors have length 1. */
  readonly unit: boolean;
}

/** That a model is read as one of texts to vectors. */
export interface Embedding {
  /** Divides the cosines of pairs; 0.05 when left out. */
  readonly temperature?: number | undefined;
}

export const TEMPERATURE = 0.05;

/** Files of sentence-transformers, which stand beside the encoder's own. */
const MODULES = "modules.json";
const POOLING = "1_Pooling/config.json";
const LENGTH = "sentence_bert_config.json";
const PROMPTS = "config_sentence_transformers.json";

const MODES: Readonly<Record<string, PoolingName>> = {
  pooling_mode_cls_token: "cls",
  pooling_mode_max_tokens: "max",
  pooling_mode_mean_tokens: "mean",
  pooling_mode_mean_sqrt_len_tokens: "sqrt",
};

const NAMES: Readonly<Record<string, PoolingName>> = {
  cls: "cls",
  max: "max",
  mean: "mean",
  mean_sqrt_len_tokens: "sqrt",
};

interface Named {
  readonly ref: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

function fileOf({ ref, files }: Named, name: string): Json | undefined {
  const bytes = files.get(name);
  if (bytes === undefined) return undefined;
  const what = `${ref}: ${name}`;
  return parseJson(decodeText(bytes, what), what).value;
}

/**
 * How a model pools: as modules.json and 1_Pooling/config.json say; the mean where nothing does. Throws UserError for a
 * module or a pooling that is not run here. `warn` is told of prompts, which are not put before texts.
 */
export function poolingOf(model: Named, warn: (message: string) => void = () => {}): Pooling {
  const { ref } = model;
  const modules = modulesOf(model);
  for (const [i, { type, path }] of modules.entries()) {
    const fits = i === 0 ? type === "Transformer" && path === "" : i === 1 ? type === "Pooling" : type === "Normalize";
    if (!fits)
      throw new UserError(
        `${ref}: ${MODULES} asks for ${type}${path === "" ? "" : ` in ${path}`} as its module ${i}`,
        "what runs here is an encoder, a pooling, and perhaps Normalize",
      );
    if (type === "Pooling" && path !== "1_Pooling")
      throw new UserError(`${ref}: ${MODULES} has its pooling in ${path}`, "name that folder 1_Pooling");
  }
  const prompts = fileOf(model, PROMPTS);
  if (isObject(prompts) && typeof prompts.default_prompt_name === "string")
    warn(`${ref} puts the prompt ${prompts.default_prompt_name} before texts; here rows hold it themselves`);
  const measure = isObject(prompts) ? prompts.similarity_fn_name : undefined;
  if (typeof measure === "string" && measure !== "cosine")
    warn(`${ref} compares by ${measure}; here vectors are compared by their cosine`);
  return { by: modeOf(model), unit: modules.some(({ type }) => type === "Normalize") };
}

/** Most tokens of a text, as sentence_bert_config.json has it; undefined where it says nothing. */
export function longestOf(model: Named): number | undefined {
  const found = fileOf(model, LENGTH);
  const most = isObject(found) ? found.max_seq_length : undefined;
  if (most === undefined || most === null) return undefined;
  if (typeof most !== "number" || !Number.isInteger(most) || most < 1)
    throw new UserError(
      `${model.ref}: ${LENGTH} has a max_seq_length of ${show(String(most))}`,
      "write the most tokens of a text there",
    );
  return most;
}

/** The modules of modules.json, each with the last part of its class's name. */
function modulesOf(model: Named): { readonly type: string; readonly path: string }[] {
  const list = fileOf(model, MODULES);
  if (list === undefined) return [];
  if (!Array.isArray(list) || !list.every(isObject))
    throw new UserError(`${model.ref}: ${MODULES} is not a list of modules`, "fetch it again");
  return list.map(({ type, path }) => ({ type: String(type).replace(/^.*\./, ""), path: String(path ?? "") }));
}

function modeOf(model: Named): PoolingName {
  const found = fileOf(model, POOLING);
  if (found === undefined) return "mean";
  const what = `${model.ref}: ${POOLING}`;
  if (!isObject(found)) throw new UserError(`${what} is not an object`, "fetch it again");
  const asked = askedModes(found);
  const [mode, other] = asked;
  if (mode === undefined) throw new UserError(`${what} names no pooling`, "set pooling_mode_mean_tokens, or another");
  if (other !== undefined)
    throw new UserError(`${what} asks for ${asked.join(" and ")}`, "several poolings side by side are not run here");
  const known = MODES[mode] ?? NAMES[mode];
  if (known === undefined)
    throw new UserError(`${what} asks for ${mode}`, `what runs here is ${Object.keys(NAMES).join(", ")}`);
  return known;
}

const askedModes = (json: JsonObject): string[] =>
  typeof json.pooling_mode === "string"
    ? [json.pooling_mode]
    : Object.entries(json).flatMap(([key, value]) => (/^pooling_mode_/.test(key) && value === true ? [key] : []));

/** States (B T, C) to one vector a text (B, C). Padding counts for nothing. */
export function pooled(
  rec: Recorder,
  states: Tensor,
  { batch, length, shares }: TextInputs,
  { by, unit }: Pooling,
): Tensor {
  const width = states.shape[1]!;
  const made = by === "cls" ? rowsOf(rec, states, batch, (i) => i * length) : reduced();
  return unit ? unitRows(rec, made) : made;

  function reduced(): Tensor {
    if (by === "max") return largest(rec, states, { batch, length, shares });
    const grid = rec.reshape(states, [batch, length, width]);
    const means = sumTo(rec, mul(rec, grid, rec.reshape(shares, [batch, length, 1])), [batch, 1, width]);
    const flat = rec.reshape(means, [batch, width]);
    if (by === "mean") return flat;
    // The share of a token is 1 / n, so that the sum over sqrt(n) is the mean times sqrt(n).
    const most = sumTo(rec, mul(rec, shares, shares), [batch, 1]); // 1 / n
    return div(rec, flat, sqrt(rec, most));
  }
}

/** Rows of x by their places. */
function rowsOf(rec: Recorder, x: Tensor, count: number, place: (i: number) => number): Tensor {
  const places = Int32Array.from({ length: count }, (_, i) => place(i));
  return embedding(rec, rec.constant(places, [count], "rows"), x);
}

/** The largest of every column over the tokens of a text, by halves. */
function largest(
  rec: Recorder,
  states: Tensor,
  { batch, length, shares }: Pick<TextInputs, "batch" | "length" | "shares">,
): Tensor {
  const real = clamp(rec, scale(rec, shares, 1e6), 0, 1); // 1 for tokens, 0 for padding
  const beyond = scale(rec, addScalar(rec, real, -1), 1e9); // 0 and -1e9
  let x = add(rec, states, rec.reshape(beyond, [batch * length, 1]));
  let tokens = length;
  while (tokens > 1) {
    const [all, half] = [tokens, Math.ceil(tokens / 2)];
    const part = (from: number) => rowsOf(rec, x, batch * half, (i) => Math.floor(i / half) * all + from + (i % half));
    x = maximum(rec, part(0), part(all - half));
    tokens = half;
  }
  return x;
}

/**
 * An encoder as an embedder. Its tensors have the names of the bare encoder, as sentence-transformers has them; those
 * of heads are carried through. Throws UserError for an architecture that is no encoder of texts.
 */
export function asEmbedder(
  architecture: Architecture,
  ref: string,
  pooling: Pooling,
  { temperature = TEMPERATURE }: Embedding,
): Architecture {
  const { trunk, className, basePrefix, olderNames } = architecture;
  if (!trunk)
    throw new UserError(
      `${ref} is a ${architecture.name}, and vectors of texts are made here by encoders alone`,
      "take a BERT, DistilBERT, RoBERTa or XLM-RoBERTa",
    );
  const bare = className?.replace(/For\w+$/, "Model");
  const older = (name: string) => olderNames?.(name) ?? [];
  return {
    ...architecture,
    task: "embedder",
    className: bare,
    basePrefix: undefined,
    headModules: undefined,
    partOf: { whole: architecture.title, part: "encoder" },
    olderNames: (name) => [name, `${basePrefix ?? ""}${name}`].flatMap((each) => [each, ...older(each)]),
    parameters: (c) => trunk.parameters(c),
    implied(c) {
      const { id2label: _, label2id: __, problem_type: ___, ...rest } = architecture.implied?.(c) ?? {};
      return rest;
    },
    sizes: (c) => ({ ...architecture.sizes(c), outputs: architecture.sizes(c).width }),

    forward(net, c, inputs) {
      const { rec } = net;
      const made = pooled(rec, trunk.states(net, c, inputs), textsOf(inputs), pooling); // (texts, C)
      const { pairs } = textsOf(inputs);
      if (!pairs) return made;
      const whole = unitRows(rec, made);
      net.note(
        "candidates",
        rowsOf(rec, whole, pairs.candidates, (i) => pairs.rows + i),
      );
      return rowsOf(rec, whole, pairs.rows, (i) => i);
    },

    head(net, _, hidden, inputs) {
      const pairs = inputs && "pairs" in inputs ? inputs.pairs : undefined;
      if (!pairs) return hidden;
      if (hidden.shape[0] !== pairs.rows) throw new RangeError("pairs are compared all at once");
      const cosines = linear(net.rec, hidden, net.noted("candidates")); // (rows, candidates)
      return add(net.rec, scale(net.rec, cosines, 1 / temperature), pairs.apart);
    },
  };
}

function textsOf(inputs: Inputs): TextInputs {
  if (!("types" in inputs)) throw new TypeError("an embedder takes token ids");
  return inputs;
}
