/**
 * Which weights matter to rows: those of which their mean loss has the largest gradients, over all trained weights
 * together. The others are held where they are, bit for bit.
 *
 * GPU memory: a mask and a copy, each as large as the weights.
 */
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { Programs } from "../run/programs.ts";
import { crossEntropyObjective } from "../run/training/cross-entropy.ts";
import { UnitScales } from "../run/training/rules/unit-scales.ts";

/** 1 for the `share` of all values that are largest in size, 0 for the others and for what is 0; equals count alike. */
export function largest(gradients: readonly Float32Array[], share: number): Float32Array[] {
  const sizes = new Float32Array(gradients.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const gradient of gradients) for (const x of gradient) sizes[at++] = Math.abs(x);
  sizes.sort();
  const kept = Math.round(share * sizes.length);
  const least = kept === 0 ? Number.POSITIVE_INFINITY : sizes[sizes.length - kept]!;
  return gradients.map((gradient) => gradient.map((x) => (Math.abs(x) >= least && x !== 0 ? 1 : 0)));
}

/** The gradient of the mean cross-entropy of all that counts in the batches, in the trained weights' gradients. */
async function meanGradient(model: Model, batches: readonly Batch[], signal: AbortSignal): Promise<void> {
  const objective = crossEntropyObjective(model);
  const programs = new Programs(model.gpu, { training: true });
  const total = batches.reduce((sum, batch) => sum + objective.counted(batch, ""), 0);
  for (const { gradient, size } of model.trainable()) model.gpu.clear(gradient, Math.max(16, 4 * size));
  for (const batch of batches) {
    signal.throwIfAborted();
    const { program } = await programs.get(objective.key(batch), (rec) =>
      rec.backward(objective.record(rec, batch, "").backward),
    );
    objective.fill(program, batch, total, "");
    program.run({ accumulate: 1, seed: 0 });
  }
  programs.free();
}

export interface Salience {
  /** Rows with their own labels. */
  readonly batches: readonly Batch[];
  readonly share: number;
  readonly seed: number;
  readonly signal: AbortSignal;
}

/**
 * The rule that lets the salient weights learn alone. With `measured` false, as a run that resumes or is planned wants
 * it, its masks are those that are loaded. Throws UserError for gradients that are not finite.
 */
export async function salientWeights(
  model: Model,
  { batches, share, seed, signal }: Salience,
  measured: boolean,
): Promise<UnitScales> {
  const { gpu } = model;
  const parameters = model.trainable();
  const gradients: Float32Array[] = [];
  if (measured) {
    await meanGradient(model, batches, signal);
    for (const { gradient, size } of parameters) gradients.push(await gpu.readFloats(gradient, size));
    if (gradients.some((gradient) => gradient.some((x) => !Number.isFinite(x))))
      throw new UserError("the gradients of the rows to forget are not finite", "the model or its rows are not", 1);
  }
  const masks = measured ? largest(gradients, share) : parameters.map(({ size }) => new Float32Array(size));
  const scales = parameters.map((parameter, i) => ({ parameter, along: "value" as const, factors: masks[i]! }));
  return new UnitScales(gpu, scales, { name: "saliency", apply: "both", seed, changing: true });
}
