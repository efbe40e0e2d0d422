/**
 * How much the loss of rows hangs on inner units of feed-forward networks: the size of activation x gradient, summed
 * over all tokens of the rows, which is the gradient of a gate of 1 on the unit. Molchanov et al., ICLR 2017,
 * https://arxiv.org/abs/1611.06440
 *
 * GPU memory: gradients of the weights.
 */
import type { Batch } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import type { Gated } from "./unit-masks.ts";
import { matrixOf, UnitProducts } from "./unit-products.ts";

/** By weight as they came, a score per unit. The model's weights take gradients. */
export async function unitScores(
  model: Model,
  gated: readonly Gated[],
  batches: readonly Batch[],
  { signal, done }: { readonly signal: AbortSignal; readonly done?: () => void },
): Promise<Float32Array[]> {
  const objective = crossEntropyObjective(model);
  const biases = gated.flatMap(({ bias }) => (bias ? [bias] : []));
  const products = await UnitProducts.make(model.gpu, [
    ...gated.map(({ weight, along }) => ({ parameter: weight, along })),
    ...biases.map((parameter) => ({ parameter, along: "row" as const })),
  ]);
  const programs = new Programs(model.gpu, { training: true });
  const total = batches.reduce((sum, batch) => sum + objective.counted(batch, ""), 0);
  try {
    for (const { gradient, size } of model.trainable()) model.gpu.clear(gradient, Math.max(16, 4 * size));
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program } = await programs.get(objective.key(batch), (rec) =>
        rec.backward(objective.record(rec, batch, "").backward),
      );
      objective.fill(program, batch, total, "");
      program.run({ accumulate: 0, seed: 0 });
      products.add(1);
      done?.();
    }
    const scores: Float32Array[] = [];
    for (const [place, { bias }] of gated.entries()) {
      const own = await products.read(place);
      const shift = bias ? await products.read(gated.length + biases.indexOf(bias)) : undefined;
      scores.push(own.map((x, i) => Math.abs(x + (shift?.[i] ?? 0))));
    }
    return scores;
  } finally {
    programs.free();
    products.free();
  }
}

/** The `share` of all units that have the largest scores, at least one: places by weight. Of equals the first. */
export function topUnits(scores: readonly Float32Array[], share: number): number[][] {
  const all = scores.flatMap((own, weight) => Array.from(own, (score, unit) => ({ weight, unit, score })));
  const chosen = all
    .sort((a, b) => b.score - a.score || a.weight - b.weight || a.unit - b.unit)
    .slice(0, Math.max(1, Math.round(share * all.length)));
  return scores.map((_, i) => chosen.flatMap(({ weight, unit }) => (weight === i ? [unit] : [])));
}

/** Sets units to 0: what they are made of, and their biases. Weights are in f32. */
export async function silence(
  model: Model,
  gated: readonly Gated[],
  units: readonly (readonly number[])[],
): Promise<void> {
  for (const [i, { weight, bias, along }] of gated.entries()) {
    if (units[i]!.length === 0) continue;
    const values = await model.gpu.readFloats(weight.buffer, weight.size);
    const { rows, columns } = matrixOf(weight.shape);
    for (const unit of units[i]!) {
      if (along === "row") values.fill(0, unit * columns, (unit + 1) * columns);
      else for (let row = 0; row < rows; row++) values[row * columns + unit] = 0;
    }
    weight.write(values);
    if (!bias) continue;
    const shifts = await model.gpu.readFloats(bias.buffer, bias.size);
    for (const unit of units[i]!) shifts[unit] = 0;
    bias.write(shifts);
  }
}
