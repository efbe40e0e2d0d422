/**
 * Orthogonal gradient descent: steps keep to what is at right angles to the gradients of earlier answers, so that these
 * answers stay, to first order, as they are.
 *
 *   after a task, for rows of it: v = gradient of the logit of the row's own label, made orthonormal to those kept
 *   in later tasks: g <- g - sum_v <g, v> v
 *
 * Farajtabar et al., AISTATS 2020, https://arxiv.org/abs/1910.07104, the variant OGD-GTL. The logit of a row of tokens
 * is the sum over the positions that count. With SGD the step itself has no part along v; AdamW scales each weight.
 */
import type { Batch } from "../../../data/batch.ts";
import { permutation } from "../../../data/shuffle.ts";
import type { Model } from "../../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../../run/batch-programs.ts";
import { Programs } from "../../../run/programs.ts";
import { crossEntropyObjective } from "../../../run/training/cross-entropy.ts";
import { Basis, BasisProjection } from "../../../run/training/rules/basis-projection.ts";
import { gather } from "../../../tensor/ops/gather.ts";
import { chunkedHead } from "../../../tensor/ops/head-loss.ts";
import { continualMethod, type Stage, type Stream } from "../../continual/contract.ts";

/** Leaves the gradient of the logits of a batch's own labels in the gradients. */
async function logitGradient(model: Model, programs: Programs, batch: Batch): Promise<void> {
  const { program } = await programs.get(crossEntropyObjective(model).key(batch), (rec) => {
    const { hidden, head } = model.record(rec, recordInputs(rec, batch));
    const count = batch.rows * batch.length;
    const logits = chunkedHead(rec, {
      ...{ hidden, head, width: model.sizes.outputs, along: [recordTargets(rec, batch)] },
      loss: (z, [labels]) =>
        rec.reshape(gather(rec, z, rec.reshape(labels!, [labels!.shape[0]!, 1])), [labels!.shape[0]!]),
    });
    rec.backward([[logits, rec.input("weights", [count])]]);
  });
  fillInputs(program, batch);
  program.write(
    "weights",
    Float32Array.from(fillTargets(program, batch), (target) => (target < 0 ? 0 : 1)),
  );
  program.run({ accumulate: 0, seed: 0 });
}

/** Rows of a task whose directions are kept: an equal share of all that can be for each task. */
function chosenRows(
  { rows, seed, tasks }: Pick<Stream<unknown>, "rows" | "seed" | "tasks">,
  stage: Stage,
  capacity: number,
) {
  const share = Math.floor(capacity / Math.max(1, tasks.length - 1));
  const all = rows.of(stage.tasks);
  const drawn = permutation(all.length, seed, stage.index, "directions").subarray(0, share);
  return Array.from(drawn.toSorted(), (i) => rows.batch([[all[i]!]]).batch).filter(({ counted }) => counted > 0);
}

export const method = continualMethod({
  name: "ogd",
  title: "Orthogonal gradient descent",
  about: "steps at right angles to the gradients of earlier answers",
  cite: "arXiv:1910.07104",
  options: {
    directions: {
      type: "number.integer >= 1",
      default: 100,
      help: "gradients that are kept of all tasks but the last together; each takes as much memory as the weights",
      value: "N",
    },
  },
  begin(stream) {
    const { gpu, model, values, dry, signal } = stream;
    const basis = new Basis(gpu, model.trainable(), values.directions);
    return {
      stage: () => ({ updates: basis.used > 0 ? [new BasisProjection(basis)] : [] }),
      async learned(stage) {
        if (stage.isLast || dry) return;
        const programs = new Programs(gpu, { training: true });
        for (const { gradient, size } of model.trainable()) gpu.clear(gradient, Math.max(16, 4 * size));
        for (const batch of chosenRows(stream, stage, values.directions)) {
          signal.throwIfAborted();
          await logitGradient(model, programs, batch);
          await basis.add();
        }
        programs.free();
      },
      state: () => ({ used: basis.used }),
      load: (state) => basis.resume((state as { used?: number } | null)?.used ?? 0),
      kept: () => basis.kept,
      memory: () => ({ directions: basis.bytes }),
      free: () => basis.free(),
    };
  },
});
