/**
 * The changes of an adapter that are not low-rank: whole tensors, biases and token rows that replace those of the base.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { nearest } from "../../method/nearest.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { isFloat } from "../dtype.ts";
import type { AdapterConfig } from "./config.ts";
import { castEntry, mapEntry, viewEntry } from "./entries.ts";
import { isVocabulary } from "./keys.ts";
import type { Parts } from "./parts.ts";
import type { Factors } from "./patch.ts";

/** A base while an adapter is applied to it. */
export interface View {
  readonly base: Checkpoint;
  readonly adapter: Checkpoint;
  readonly config: AdapterConfig;
  readonly parts: Parts;
  /** The base's tensors, changed step by step. */
  readonly tensors: Map<string, TensorEntry>;
  /** Names of tensors that were replaced, patched or moved by a bias. */
  readonly touched: Set<string>;
}

/**
 * A name as the base spells it: some checkpoints are saved with, some without, the outermost module's name, and
 * transformers 4.52 turned two of a model of several parts about.
 */
export function nameInBase(tensors: { has(name: string): boolean }, name: string): string | undefined {
  const turned = name
    .replace(/^(model\.language_model|language_model\.model)\./, (modules) =>
      modules.startsWith("model") ? "language_model.model." : "model.language_model.",
    )
    .replace(/^(language_model\.)?(?=lm_head\.)/, (module) => (module ? "" : "language_model."));
  const candidates = [name, name.replace(/^(model|transformer)\./, ""), `model.${name}`, `transformer.${name}`, turned];
  return candidates.find((candidate) => tensors.has(candidate));
}

export function notFound(name: string, base: Checkpoint, adapter: Checkpoint): UserError {
  const near = nearest(name, base.tensors.keys());
  return new UserError(
    `${adapter.ref} changes ${show(name)}, which ${base.ref} does not have${near === undefined ? "" : `; the closest is ${show(near)}`}`,
    "the adapter was trained on another base; adapter_config.json names it in base_model_name_or_path",
  );
}

const shapeText = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/** The saved tensor in the base's dtype. Only vocabularies may have another number of rows. */
export function replacement(
  old: TensorEntry | undefined,
  saved: TensorEntry,
  name: string,
  where: string,
): TensorEntry {
  if (old === undefined) return viewEntry(saved, { name });
  const sameRank = old.shape.length === saved.shape.length;
  const same =
    sameRank && old.shape.every((size, axis) => size === saved.shape[axis] || (axis === 0 && isVocabulary(name)));
  if (!same) {
    throw new UserError(
      `${where}: ${show(saved.name)} is ${shapeText(saved.shape)}, but ${name} in the base is ${shapeText(old.shape)}`,
      "the adapter was trained on another base",
    );
  }
  return isFloat(old.dtype) ? castEntry(saved, name, old.dtype) : viewEntry(saved, { name });
}

/** lora_bias: the B matrix has a bias, which is scaled and added to the layer's. */
export function addBias(view: View, module: string, bias: NonNullable<Factors["bBias"]>, scale: number): void {
  const { base, adapter, tensors, touched } = view;
  const name = nameInBase(tensors, `${module}.bias`);
  if (name === undefined) {
    throw new UserError(
      `${adapter.ref} has a lora_B bias for ${module}, but that layer of ${base.ref} has no bias to add it to`,
      "such an adapter cannot be merged; retrain it with lora_bias false",
    );
  }
  const entry = tensors.get(name)!;
  if (entry.shape.length !== 1 || entry.shape[0] !== bias.values.length || !isFloat(entry.dtype)) {
    throw new UserError(
      `the lora_B bias of ${module} in ${adapter.ref} is ${shapeText(bias.shape)}, but ${name} is ${shapeText(entry.shape)} ${entry.dtype}`,
    );
  }
  const add = (values: Float32Array, first: number) => {
    for (let i = 0; i < values.length; i++) values[i]! += scale * bias.values[first + i]!;
  };
  tensors.set(name, mapEntry(entry, add));
  touched.add(name);
}

export function indicesFor(module: string, config: AdapterConfig, where: string): readonly number[] {
  const all = config.tokenIndices;
  if (all instanceof Map) {
    for (const [key, list] of all) if (module === key || module.endsWith(`.${key}`)) return list;
  } else if (all !== undefined) return all as readonly number[];
  throw new UserError(
    `trainable_token_indices of ${where} does not list the rows of ${module}, but it has tensors for them`,
  );
}

/** The embedding with some rows replaced. */
export function withRows(
  entry: TensorEntry,
  rows: { values: Float32Array; shape: readonly number[] },
  indices: readonly number[],
  where: string,
): TensorEntry {
  const [count, width] = entry.shape;
  if (entry.patch !== undefined) {
    throw new UserError(`${where} trains rows of ${entry.name} and adapts it too, which cannot be applied together`);
  }
  const fits = entry.shape.length === 2 && rows.shape.length === 2 && rows.shape[1] === width;
  if (!fits || rows.shape[0] !== indices.length || !isFloat(entry.dtype)) {
    throw new UserError(
      `${where} has trained rows ${shapeText(rows.shape)} for ${indices.length} tokens, but ${entry.name} is ${shapeText(entry.shape)} ${entry.dtype}`,
    );
  }
  const outside = indices.find((index) => index >= count!);
  if (outside !== undefined) {
    throw new UserError(`${where} trains token ${outside}, but ${entry.name} has ${count} rows`);
  }
  return mapEntry(entry, (values, first) => {
    for (const [at, index] of indices.entries()) {
      const start = Math.max(index * width!, first);
      const end = Math.min((index + 1) * width!, first + values.length);
      if (start >= end) continue;
      const from = at * width! + start - index * width!;
      values.set(rows.values.subarray(from, from + end - start), start - first);
    }
  });
}
