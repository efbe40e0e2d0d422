/**
 * What rows of data say of linear layers: the covariance of what each reads, or the gradient of each weight. Memory on
 * the GPU: matrices within the budget of a pass, or the gradients of all layers that are asked for; on the host one
 * matrix.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { turn } from "../../model/adapters/lora/factor-files.ts";
import type { Target } from "../../model/adapters/targets.ts";
import type { Model } from "../../model/model.ts";
import type { FloatMatrix } from "../../tensor/linear-algebra/truncated-svd.ts";
import { inputScatter } from "../gram/input-scatter.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "./cross-entropy.ts";

/** What was measured of a layer: (in, in) of its inputs, or (out, in) as its weight. */
export interface LayerMeasure {
  readonly target: Target;
  readonly measured: FloatMatrix;
}

interface How {
  readonly targets: readonly Target[];
  readonly signal: AbortSignal;
  /** The option that asks, for messages. */
  readonly flag: string;
}

const notFinite = (what: string) =>
  new UserError(`${what} is not finite`, "the model's own weights are not finite, or these rows are not for it", 1);

/** The mean of x x^T over what each layer reads at rows that count. Throws UserError where that is not known. */
export async function* layerCovariances(
  base: Model,
  batches: readonly Batch[],
  { targets, signal, flag }: How,
): AsyncGenerator<LayerMeasure> {
  const left = new Map(targets.map((target) => [target.module, target]));
  const only = (module: string) => left.has(module);
  for await (const { modules, width, rows, values } of inputScatter(base, batches, { only, signal, raw: true })) {
    if (rows === 0) throw new UserError(`${flag}: no row counts for the loss`, "give rows with an answer or a label");
    if (!values.every((x) => Number.isFinite(x))) throw notFinite(`what ${modules[0]} reads`);
    const measured = { rows: width, columns: width, values: values.map((x) => x / rows) };
    for (const module of modules) {
      const target = left.get(module);
      if (!target) continue;
      left.delete(module);
      yield { target, measured };
    }
  }
  for (const module of left.keys())
    throw new UserError(
      `what ${module} reads cannot be measured`,
      "choose other modules in --lora-targets, or another --adapter-init",
    );
}

/** Adds the gradients of the mean loss of batches up, in the model's own gradients. */
async function addGradients(base: Model, batches: readonly Batch[], { signal, flag }: How): Promise<void> {
  const objective = crossEntropyObjective(base);
  const counted = batches.reduce((sum, batch) => sum + objective.counted(batch, ""), 0);
  if (counted === 0) throw new UserError(`${flag}: no row counts for the loss`, "give rows with an answer or a label");
  const programs = new Programs(base.gpu, { training: true });
  try {
    for (const [i, batch] of batches.entries()) {
      signal.throwIfAborted();
      const { program } = await programs.get(objective.key(batch), (rec) => {
        const { backward, metrics } = objective.record(rec, batch, "");
        rec.output("loss", metrics.loss!);
        rec.backward(backward);
      });
      objective.fill(program, batch, counted, "");
      program.run({ accumulate: i === 0 ? 0 : 1, seed: 0 });
      const [loss] = await program.read("loss"); // keeps the queue of work bounded
      if (!Number.isFinite(loss)) throw notFinite(`${flag}: the loss`);
    }
  } finally {
    programs.free();
  }
}

/** The gradient of each layer's weight, of the mean loss of all rows. Throws UserError where that is not known. */
export async function* layerGradients(base: Model, batches: readonly Batch[], how: How): AsyncGenerator<LayerMeasure> {
  const wanted = new Map(how.targets.map((target) => [`${target.module}.weight`, target]));
  for (const [name, parameter] of base.parameters) parameter.trainable = wanted.has(name);
  await addGradients(base, batches, how);
  for (const [name, target] of wanted) {
    const parameter = base.parameters.get(name);
    if (!parameter?.hasGradient)
      throw new UserError(
        `${how.flag}: ${target.module} has no gradient`,
        "choose other modules in --lora-targets, or another --adapter-init",
      );
    const values = await base.gpu.readFloats(parameter.gradient, parameter.size);
    if (!values.every((x) => Number.isFinite(x))) throw notFinite(`the gradient of ${target.module}`);
    const { into, out, transposed } = target;
    yield { target, measured: { rows: out, columns: into, values: transposed ? turn(values, [into, out]) : values } };
  }
}
