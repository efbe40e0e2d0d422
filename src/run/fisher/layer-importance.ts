/**
 * How much each block of a model matters to rows.
 *
 *   ablation  loss with the weights of the block at 0, less the loss as it is; on a residual stream the block is gone
 *   gradient  mean over batches of the sum of |theta x gradient| over the block's weights
 *
 * GPU memory: ablation a copy of a block's largest weights, gradient gradients of all weights.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import { UnitProducts } from "./unit-products.ts";

export interface LayerImportanceOptions {
  /** Names the model in messages. */
  readonly ref: string;
  readonly signal: AbortSignal;
  /** Called after every pass over a batch. */
  readonly done?: () => void;
}

/** Weights of each block, by number. Throws UserError for a model without blocks. */
export function blockWeights(model: Model, ref: string): Parameter[][] {
  const places = [...model.parameters.values()].flatMap((parameter) => {
    const layer = layerOf(parameter.name);
    return layer ? [{ ...layer, parameter }] : [];
  });
  const stacks = Map.groupBy(places, ({ prefix }) => prefix);
  const stack = [...stacks.values()].find((members) => {
    return new Set(members.map(({ index }) => index)).size === model.sizes.layers;
  });
  if (!stack)
    throw new UserError(`${ref}, a ${model.architecture.name}, has no stack of blocks`, "give a model made of blocks");
  return Array.from({ length: model.sizes.layers }, (_, layer) =>
    stack.filter(({ index }) => index === layer).map(({ parameter }) => parameter),
  );
}

/** Mean loss over all that counts in the batches. */
async function meanLoss(model: Model, programs: Programs, batches: readonly Batch[], options: LayerImportanceOptions) {
  const objective = crossEntropyObjective(model);
  const total = batches.reduce((sum, { counted }) => sum + counted, 0);
  let loss = 0;
  for (const batch of batches) {
    options.signal.throwIfAborted();
    const { program } = await programs.get(objective.key(batch), (rec) => {
      rec.output("loss", objective.record(rec, batch, "").metrics.loss!);
    });
    objective.fill(program, batch, total, "");
    program.run();
    loss += (await program.read("loss"))[0]!;
    options.done?.();
  }
  if (Number.isFinite(loss)) return loss;
  throw new UserError(
    `${options.ref}: the loss is ${loss}`,
    "the model's own weights are not finite, or the rows are not for it",
    1,
  );
}

/** Loss of the whole model, and how much more it is without each block. */
export async function ablatedLosses(model: Model, batches: readonly Batch[], options: LayerImportanceOptions) {
  const blocks = blockWeights(model, options.ref);
  if (blocks.flat().some(({ place }) => place.lent))
    throw new UserError("blocks that lie on the disk cannot be set to 0", "leave out --offload");
  const { gpu } = model;
  const programs = new Programs(gpu);
  try {
    const whole = await meanLoss(model, programs, batches, options);
    const importance: number[] = [];
    for (const weights of blocks) {
      const copies: PooledBuffer[] = [];
      for (const { buffer, bytes, name } of weights) {
        const size = Math.ceil(Math.max(4, bytes) / 4) * 4;
        const copy = gpu.buffer(Math.max(16, size), `${name} put aside`);
        copies.push(copy);
        gpu.copy(buffer, 0, copy.buffer, 0, size);
        gpu.clear(buffer, size);
      }
      importance.push((await meanLoss(model, programs, batches, options)) - whole);
      for (const [i, { buffer, bytes }] of weights.entries()) {
        gpu.copy(copies[i]!.buffer, 0, buffer, 0, Math.ceil(Math.max(4, bytes) / 4) * 4);
        copies[i]!.free();
      }
    }
    return { loss: whole, importance };
  } finally {
    programs.free();
  }
}

/** By block, mean over batches of sum |theta x gradient|. The model's weights take gradients. */
export async function gradientImportances(model: Model, batches: readonly Batch[], options: LayerImportanceOptions) {
  const blocks = blockWeights(model, options.ref);
  const summed = blocks.flatMap((weights, layer) =>
    weights.map((parameter) => ({ parameter, layer, along: "row" as const })),
  );
  const products = await UnitProducts.make(model.gpu, summed, { magnitude: true });
  const objective = crossEntropyObjective(model);
  const programs = new Programs(model.gpu, { training: true });
  let loss = 0;
  try {
    for (const { gradient, size } of model.trainable()) model.gpu.clear(gradient, Math.max(16, 4 * size));
    for (const batch of batches) {
      options.signal.throwIfAborted();
      const { program } = await programs.get(objective.key(batch), (rec) => {
        const { backward, metrics } = objective.record(rec, batch, "");
        rec.output("loss", metrics.loss!);
        rec.backward(backward);
      });
      objective.fill(program, batch, batch.counted, "");
      program.run({ accumulate: 0, seed: 0 });
      products.add(1 / batches.length);
      loss += (await program.read("loss"))[0]! / batches.length;
      options.done?.();
    }
    const importance = blocks.map(() => 0);
    for (const [place, { layer }] of summed.entries())
      for (const sum of await products.read(place)) importance[layer]! += sum;
    return { loss, importance };
  } finally {
    programs.free();
    products.free();
  }
}

/** From 0 to 1 over the blocks; 0 where all are alike. */
export function normalized(importance: readonly number[]): number[] {
  const [least, most] = [Math.min(...importance), Math.max(...importance)];
  return importance.map((x) => (most === least ? 0 : (x - least) / (most - least)));
}
