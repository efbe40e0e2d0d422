/**
 * Rows of routers from prompts, from random numbers or from clusters: the modes of mergekit-moe
 * (https://github.com/arcee-ai/mergekit), and two more.
 *
 * - hidden, hidden_last: the last token's state, averaged over an expert's prompts, minus the same of its negative
 *   prompts, at unit length layer by layer. hidden_avg: the mean over each prompt's tokens.
 * - cheap_embed: the sum of the embeddings of all tokens of the prompts, at unit length, in every layer.
 * - random: N(0, 1); uniform_random: U(-1/sqrt(C), 1/sqrt(C)); small_random: N(0, 0.02), as new routers are.
 *
 * Which state: by default what the router will read (`ffn`); mergekit takes the stream that enters the layer
 * (`residual`), and it averages over padding too, which is left out here.
 */

import type { ExpertRecipe, GateMode } from "../../checkpoint/lineage/recipe/experts-recipe.ts";
import { collate, type TokenBatch } from "../../data/batch.ts";
import { Random } from "../../data/random.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { type LayerInput, weightedInputs } from "../../run/tracing/layer-inputs.ts";
import type { DenseModel } from "./dense-model.ts";
import { PIECE } from "./values.ts";

/** Standard deviation of a new router's values: `initializer_range` of these architectures. */
const SMALL = 0.02;
const ROWS = 16;

/** Rows of every layer, (E, C) each. */
export type Gates = readonly Float32Array[];

/** Rows that need no prompts: drawn by (seed, layer). */
export function drawnGates(
  mode: "random" | "uniform_random" | "small_random",
  {
    layers,
    width,
    experts,
    seed,
  }: { readonly layers: number; readonly width: number; readonly experts: number; readonly seed: number },
): Gates {
  return Array.from({ length: layers }, (_, layer) => {
    const random = new Random(seed, "gates", mode, layer);
    const edge = 1 / Math.sqrt(width);
    const draw =
      mode === "uniform_random"
        ? () => (2 * random.uniform() - 1) * edge
        : () => (mode === "random" ? 1 : SMALL) * random.normal();
    return Float32Array.from({ length: experts * width }, draw);
  });
}

/** Prompts as batches without padding beyond the longest. Throws UserError for one without a token. */
export function promptBatches(prompts: readonly string[], tokenizer: Tokenizer, most: number): TokenBatch[] {
  const sequences = prompts.map((prompt) => {
    const ids = encodePrompt(tokenizer, prompt);
    if (ids.length === 0)
      throw new UserError(`the prompt ${JSON.stringify(prompt)} has no tokens`, "write a longer one");
    if (ids.length > most)
      throw new UserError(
        `the prompt ${JSON.stringify(`${prompt.slice(0, 40)}…`)} has ${ids.length} tokens, and the base reads ${most}`,
        "shorten it",
      );
    return { ids, labels: ids, group: 0, place: "" };
  });
  const batches: TokenBatch[] = [];
  for (let at = 0; at < sequences.length; at += ROWS)
    batches.push(collate(sequences.slice(at, at + ROWS).map((sequence) => [sequence])));
  return batches;
}

/** Weight of every token: those of one prompt sum to 1 / prompts. */
const tokenWeights =
  (average: boolean, prompts: number) =>
  ({ rows, length, lengths }: TokenBatch): Float32Array => {
    const weights = new Float32Array(rows * length);
    for (const [row, tokens] of lengths.entries())
      if (average) weights.fill(1 / (tokens * prompts), row * length, row * length + tokens);
      else weights[row * length + tokens - 1] = 1 / prompts;
    return weights;
  };

export interface PromptedExpert extends Pick<ExpertRecipe, "positive" | "negative"> {
  /** Names it in messages. */
  readonly name: string;
}

export interface HiddenOptions {
  readonly average: boolean;
  readonly input: LayerInput;
  readonly signal: AbortSignal;
  readonly done?: () => void;
}

/** Rows from the states of the base on prompts. */
export async function hiddenGates(
  model: Model,
  tokenizer: Tokenizer,
  experts: readonly PromptedExpert[],
  { average, input, signal, done }: HiddenOptions,
): Promise<Gates> {
  const { layers, width, maxPositions } = model.sizes;
  const gates = Array.from({ length: layers }, () => new Float32Array(experts.length * width));
  const mean = (prompts: readonly string[]) =>
    weightedInputs(model, promptBatches(prompts, tokenizer, maxPositions || Number.POSITIVE_INFINITY), {
      ...{ input, signal },
      weights: tokenWeights(average, prompts.length),
    });
  for (const [e, { positive, negative, name }] of experts.entries()) {
    const towards = await mean(positive);
    const away = negative.length > 0 ? await mean(negative) : undefined;
    for (const [layer, rows] of gates.entries())
      setUnit(
        rows,
        e,
        away ? towards[layer]!.map((value, i) => value - away[layer]![i]!) : towards[layer]!,
        `${name}, layer ${layer}`,
      );
    done?.();
  }
  return gates;
}

/** Rows from the embeddings of all tokens of the prompts; the same in every layer. */
export async function embeddingGates(
  base: DenseModel,
  tokenizer: Tokenizer,
  experts: readonly PromptedExpert[],
): Promise<Gates> {
  const { layers, width } = base.sizes;
  const rows = new Float32Array(experts.length * width);
  const row = await embeddingRows(base);
  const sum = async (prompts: readonly string[], sign: number, into: Float64Array) => {
    for (const prompt of prompts)
      for (const id of encodePrompt(tokenizer, prompt))
        for (const [i, value] of (await row(id)).entries()) into[i]! += sign * value;
  };
  for (const [e, { positive, negative, name }] of experts.entries()) {
    const total = new Float64Array(width);
    await sum(positive, 1, total);
    await sum(negative, -1, total);
    setUnit(rows, e, total, name);
  }
  return Array.from({ length: layers }, () => rows);
}

/** Reads rows of the embedding table. */
async function embeddingRows({ checkpoint, sizes: { width }, ref }: DenseModel) {
  const { decodeFloats } = await import("../../checkpoint/decode.ts");
  const { readValues } = await import("./values.ts");
  const table = checkpoint.tensors.get("model.embed_tokens.weight");
  if (!table) throw new UserError(`${ref} has no tensor model.embed_tokens.weight`, "cheap_embed needs it");
  if (table.patch) {
    const all = await readValues(table);
    return async (id: number) => all.subarray(id * width, (id + 1) * width);
  }
  const bytes = (table.bytes / table.shape[0]!) | 0;
  return async (id: number) => {
    const into = new Uint8Array(Math.min(bytes, PIECE));
    await table.read(into, id * bytes);
    return decodeFloats(into, table.dtype);
  };
}

/** Writes a direction at unit length as row `e`. Throws UserError for one without a length. */
function setUnit(rows: Float32Array, e: number, direction: Float64Array, name: string): void {
  const length = Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0));
  if (!(length > 1e-8))
    throw new UserError(
      `the positive and negative prompts of ${name} point nowhere: their states are equal`,
      "make them differ, or leave the negative ones out",
    );
  for (const [i, value] of direction.entries()) rows[e * direction.length + i] = value / length;
}

export const isDrawn = (mode: GateMode): mode is "random" | "uniform_random" | "small_random" =>
  mode.endsWith("random");
