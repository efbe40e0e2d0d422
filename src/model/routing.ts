/**
 * How the routers of a mixture of experts and its training speak with each other while a forward pass is recorded:
 * routers tell what they chose, and training says how many experts a token takes (run/training/experts/).
 */
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { layerOf } from "./names.ts";

/** What a layer's router chose. */
export interface Routed {
  /** (N, E) */
  readonly logits: Tensor;
  /** Experts of every token. */
  readonly k: number;
  /** (N, k) u32, likeliest first; it takes no gradient. */
  readonly expertOf: Tensor;
  /** Scores of experts, before any bias of the choice. */
  readonly scoring: "softmax" | "sigmoid";
}

/** A forward pass through routers, by layer from 0. */
export interface RoutedPass {
  readonly routed: ReadonlyMap<number, Routed>;
  /** Rows of the batch, of one length. */
  readonly rows: number;
  /** (N, 1): 1 / tokens of the batch for every token, 0 for padding; undefined where nothing is padding. */
  readonly shares: (() => Tensor) | undefined;
}

/** Experts that a token takes in a layer, of those that the model takes by itself. */
export type ActiveExperts = (layer: number, k: number) => number;

const heard = new WeakMap<Recorder, RoutedPass[]>();
const active = new WeakMap<Recorder, ActiveExperts>();

/** Keeps a forward pass that takes gradients; those of frozen models and without experts are passed over. */
export function hearRoutes(rec: Recorder, pass: RoutedPass): void {
  if (rec.training && [...pass.routed.values()].some(({ logits }) => logits.needsGrad))
    heard.set(rec, [...(heard.get(rec) ?? []), pass]);
}

/** The forward passes of a recording. */
export const routesOf = (rec: Recorder): readonly RoutedPass[] => heard.get(rec) ?? [];

/** Says how many experts a token takes where the model that is trained is recorded. */
export const tellActive = (rec: Recorder, count: ActiveExperts): void => {
  active.set(rec, count);
};

export const activeOf = (rec: Recorder): ActiveExperts | undefined => active.get(rec);

/** A layer's router among a model's weights: how many experts it chooses from, by layer from 0. */
export function routersIn(
  specs: Iterable<{
    readonly name: string;
    readonly shape: readonly number[];
    readonly routes?: boolean | "parameter";
  }>,
): Map<number, number> {
  const found = new Map<number, number>();
  for (const { name, routes, shape } of specs) {
    const layer = layerOf(name);
    if (routes && shape.length === 2 && shape[0]! > 1 && layer && /(^|\.)layers$/.test(layer.prefix))
      found.set(layer.index, shape[0]!);
  }
  return found;
}
