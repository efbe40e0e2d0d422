/**
 * A classifier's head of keys and values: fixed random projections of the features, for each the nearest of its fixed
 * keys, and the mean of these keys' values, which alone are trained. So a step on one row changes the answer to no row
 * that shares none of its keys.
 *
 * Träuble et al., "Discrete Key-Value Bottleneck", ICML 2023, https://arxiv.org/abs/2207.11240. config.json has
 * `key_value_head`: its `codebooks` C, `keys` K of each, and their `key_size` D.
 */

import { nearestKeys, pooledValues } from "../../tensor/ops/key-value.ts";
import { linear } from "../../tensor/ops/linear.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Json, Net, ParameterSpec } from "../architecture.ts";
import { ConfigReader } from "../config.ts";

/** Sizes of the head, as its config has them. */
export interface KeyValueHead {
  readonly codebooks: number;
  readonly keys: number;
  readonly key_size: number;
}

/** Its weights: projections (C, D, width), keys (C, K, D), values (classes, C, K). */
export const KEY_VALUE = {
  projections: "classifier.projections",
  keys: "classifier.keys",
  values: "classifier.values",
} as const;

/** The key of config.json that says a classifier has such a head. */
export const KEY_VALUE_HEAD = "key_value_head";

/** Architectures whose heads may be such. */
export const KEY_VALUE_MODELS = ["mlp", "vit"] as const;

/** Whether a config.json says so. */
export const hasKeyValueHead = (json: Json): boolean => (json[KEY_VALUE_HEAD] ?? undefined) !== undefined;

/** Reads it; undefined where the head is a linear layer. Throws UserError. */
export function keyValueHead(c: ConfigReader): KeyValueHead | undefined {
  const json = c.object(KEY_VALUE_HEAD);
  if (!json) return undefined;
  const own = new ConfigReader(json, `${c.where}: ${KEY_VALUE_HEAD}`);
  return { codebooks: own.count("codebooks"), keys: own.count("keys"), key_size: own.count("key_size") };
}

/** How config.json says it. */
export const keyValueJson = (head: KeyValueHead | undefined): Json => (head ? { [KEY_VALUE_HEAD]: head } : {});

/** Weights of a head over `width` features. Values begin at 0, projections as Glorot and Bengio 2010 draw them. */
export function keyValueParameters(head: KeyValueHead, width: number, classes: number): ParameterSpec[] {
  const { codebooks, keys, key_size: size } = head;
  const fixed = { buffer: true, small: true };
  const std = Math.sqrt(2 / (width + size));
  return [
    { name: KEY_VALUE.projections, shape: [codebooks, size, width], init: { std }, ...fixed },
    { name: KEY_VALUE.keys, shape: [codebooks, keys, size], init: { std: 1 }, ...fixed },
    { name: KEY_VALUE.values, shape: [classes, codebooks, keys], init: "zeros", small: true },
  ];
}

/** What heads look their keys up by: hidden (N, width) -> (N, C * D). */
export function projected(net: Pick<Net, "rec" | "weight">, { codebooks, key_size }: KeyValueHead, hidden: Tensor) {
  const weight = net.weight(KEY_VALUE.projections);
  return linear(net.rec, hidden, net.rec.reshape(weight, [codebooks * key_size, weight.shape[2]!]));
}

/** Logits: hidden (N, width) -> (N, classes). No gradient goes to what gives the features. */
export function keyValueLogits(net: Net, head: KeyValueHead, hidden: Tensor): Tensor {
  const places = nearestKeys(net.rec, projected(net, head, hidden), net.weight(KEY_VALUE.keys));
  return pooledValues(net.rec, net.weight(KEY_VALUE.values), places);
}
