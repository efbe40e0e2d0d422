/**
 * What layers read: the residual stream that enters each layer, or what its feed-forward network reads, which is the
 * stream after attention and its norm, and what a router in its place would see.
 */
import type { TokenBatch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { mul } from "../../tensor/ops/elementwise.ts";
import { columnSums } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

export type LayerInput = "ffn" | "residual";

/** What a feed-forward network or a router reads, by the module that reads it. */
const READS = /^model\.layers\.(\d+)\.(?:mlp|block_sparse_moe)\.(?:gate_proj|gate_up_proj|gate)$/;

/** Records a forward pass and hands out each layer's input, (N, C), once. */
function recordLayers(
  rec: Recorder,
  model: Model,
  { batch, input }: { readonly batch: TokenBatch; readonly input: LayerInput },
  use: (layer: number, x: Tensor) => void,
): void {
  const seen = new Set<number>();
  const once = (layer: number, x: Tensor) => {
    if (seen.has(layer)) return;
    seen.add(layer);
    use(layer, x);
  };
  const { hidden, notes } = model.record(rec, recordInputs(rec, batch), {
    observe(module, x) {
      const found = input === "ffn" && READS.exec(module);
      if (found) once(Number(found[1]), x);
    },
  });
  if (input === "residual")
    for (let layer = 0; layer < model.sizes.layers; layer++) once(layer, notes.get(`hidden.${layer}`)!);
  rec.output("hidden", hidden);
  if (seen.size !== model.sizes.layers)
    throw new UserError(
      `the feed-forward networks of a ${model.architecture.name} are not read through a gate, so routers have no input here`,
      "take another base, or --gate-input residual",
    );
}

const keyOf = ({ rows, length, packed }: TokenBatch): string => `${rows}x${length}${packed ? " packed" : ""}`;

/**
 * By layer, the sum over tokens of weight * input, (C), in f32 over a batch and f64 over batches. `weights` gives those
 * of a batch, (rows * length), 0 for padding.
 */
export async function weightedInputs(
  model: Model,
  batches: readonly TokenBatch[],
  { input, weights, signal }: WeightedOptions,
): Promise<Float64Array[]> {
  const programs = new Programs(model.gpu);
  const { layers, width } = model.sizes;
  const sums = Array.from({ length: layers }, () => new Float64Array(width));
  for (const batch of batches) {
    signal.throwIfAborted();
    const { program } = await programs.get(keyOf(batch), (rec) => {
      const factors = rec.input("weights", [batch.rows * batch.length, 1]);
      recordLayers(rec, model, { batch, input }, (layer, x) => {
        const sum: Tensor = rec.scratch([width], `input of layer ${layer}`);
        columnSums(rec, mul(rec, x, factors), { into: sum, accumulate: 0 });
        rec.output(`sum ${layer}`, sum);
      });
    });
    fillInputs(program, batch);
    program.write("weights", weights(batch));
    program.run();
    for (const [layer, held] of sums.entries())
      for (const [i, value] of (await program.read(`sum ${layer}`)).entries()) held[i]! += value;
  }
  programs.free();
  expectFinite(sums);
  return sums;
}

export interface WeightedOptions {
  readonly input: LayerInput;
  readonly weights: (batch: TokenBatch) => Float32Array;
  readonly signal: AbortSignal;
}

/**
 * Inputs of some layers, token by token, at most `most` tokens: of each layer (tokens, C). Memory: those values, and
 * one batch of them on the GPU.
 */
export async function tokenInputs(
  model: Model,
  batches: readonly TokenBatch[],
  { input, layers, most, signal }: TokenOptions,
): Promise<ReadonlyMap<number, Float32Array>> {
  const programs = new Programs(model.gpu);
  const { width } = model.sizes;
  const total = batches.reduce((sum, { lengths }) => sum + lengths.reduce((all, length) => all + length, 0), 0);
  const count = Math.min(most, total);
  const found = new Map(layers.map((layer) => [layer, new Float32Array(count * width)]));
  let taken = 0;
  for (const batch of batches) {
    if (taken === count) break;
    signal.throwIfAborted();
    const { program } = await programs.get(keyOf(batch), (rec) => {
      recordLayers(rec, model, { batch, input }, (layer, x) => {
        if (found.has(layer)) rec.output(`input ${layer}`, x);
      });
    });
    fillInputs(program, batch);
    program.run();
    let first = taken;
    for (const [layer, held] of found) {
      const values = await program.read(`input ${layer}`);
      first = taken;
      for (const [row, length] of batch.lengths.entries())
        for (let i = 0; i < length && first < count; i++, first++)
          held.set(
            values.subarray((row * batch.length + i) * width, (row * batch.length + i + 1) * width),
            first * width,
          );
    }
    taken = first;
  }
  programs.free();
  expectFinite([...found.values()]);
  return found;
}

export interface TokenOptions {
  readonly input: LayerInput;
  readonly layers: readonly number[];
  readonly most: number;
  readonly signal: AbortSignal;
}

function expectFinite(layers: readonly (Float32Array | Float64Array)[]): void {
  const bad = layers.findIndex((values) => values.some((value) => !Number.isFinite(value)));
  if (bad >= 0) throw new UserError(`what layer ${bad} reads is not finite`, "the model's own weights are not", 1);
}
