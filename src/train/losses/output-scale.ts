/**
 * `train --output-scale A`: trains A (f(x) - f_0(x)) in place of f, f_0 being the model as it began, by a loss that is
 * divided by A^2. A large A is lazy: weights hardly move, and the model learns by the tangent kernel that it begins
 * with; a small one is rich: it has to make features. Kumar et al., Grokking as the Transition from Lazy to Rich
 * Training Dynamics, ICLR 2024, https://arxiv.org/abs/2310.06110, after Chizat et al., https://arxiv.org/abs/1812.07956
 *
 * Held-out rows are measured with the scaled outputs, too. The result is f, whose own outputs are not scaled.
 * Memory: the model as it began, once more.
 */
import type { Batch } from "../../data/batch.ts";
import { meanWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { heldOutGroups, readHeldOut } from "../../run/training/held-out.ts";
import { type Objective, ofBatch } from "../../run/training/objective.ts";
import type { Built, Opened } from "../../run/training/technique.ts";
import { correctRows } from "../../tensor/ops/correct.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { scale, sub } from "../../tensor/ops/elementwise.ts";
import { chunkedHeads } from "../../tensor/ops/head-loss.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { TRAIN } from "../options.ts";

type Asked = Pick<
  Values<typeof TRAIN>,
  | ("output_scale" | "output_centred" | "recompute" | "head" | "heads" | "mixup" | "contrastive" | "loss")
  | ("smoothing" | "z_loss" | "certified" | "loss_balance" | "increment_mask")
>;

/** Throws UserError for options that change the loss, too. */
function refuseOthers(model: Model, options: Asked): void {
  const other = [
    options.loss !== "ce" && `--loss ${options.loss}`,
    options.head === "sparse-etf" && "--head sparse-etf",
    options.heads === "per-domain" && "--heads per-domain",
    options.certified !== undefined && "--certified",
    options.loss_balance !== "none" && "--loss-balance",
    options.increment_mask !== undefined && "--increment-mask",
    options.mixup > 0 && "--mixup",
    options.contrastive > 0 && "--contrastive",
    options.smoothing > 0 && "--smoothing",
    options.z_loss > 0 && "--z-loss",
  ].find((flag) => flag);
  if (other) throw new UserError(`${other} and --output-scale are two objectives`, "leave one of them out");
  if (model.task !== "classifier" && model.task !== "causal-lm")
    throw new UserError(`--output-scale is of logits, and this model is a ${model.task}`, "leave it out");
}

/** Cross-entropy of scaled outputs, with the share of rows that are right. `first`: what is taken away, if anything. */
export function scaledOutputs(
  model: Model,
  factor: number,
  { first, recompute }: { readonly first: Model | undefined; readonly recompute: boolean },
): Objective<Batch> {
  return {
    name: "scaled outputs",
    ...ofBatch((batch) => batch),

    record(rec, batch) {
      const inputs = recordInputs(rec, batch);
      const { hidden, head } = model.record(rec, inputs, { recompute, statistics: "batch" });
      const before = first?.record(rec, inputs);
      const targets = recordTargets(rec, batch);
      const [nll, right] = chunkedHeads(rec, {
        ...{ hidden, head, width: model.sizes.outputs },
        along: [targets, ...(before ? [before.hidden] : [])],
        losses(logits, [labels, began]) {
          const moved = before && began ? sub(rec, logits, before.head(began)) : logits;
          const scaled = factor === 1 ? moved : scale(rec, moved, factor); // (n, V)
          return [crossEntropy(rec, scaled, labels!), correctRows(rec, scaled, labels!)];
        },
      });
      const [weights, seeds] = [rec.input("weights", targets.shape), rec.input("seeds", targets.shape)];
      return {
        backward: [[nll!, seeds]],
        metrics: { loss: dot(rec, nll!, weights), accuracy: dot(rec, right!, weights) },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      const weights = meanWeights(fillTargets(program, batch), total);
      program.write("weights", weights);
      if (program.takes("seeds")) program.write("seeds", factor === 1 ? weights : weights.map((x) => x / factor ** 2));
    },
  };
}

/** Held-out rows, where the objective measures them itself. */
export const heldByScale = async (options: Values<typeof TRAIN>, opened: Opened) =>
  options.output_scale === undefined && options.prune === undefined
    ? {}
    : { heldOut: await readHeldOut(heldOutGroups(options, opened.split), opened, options.batch_size) };

/** The objective that options ask for, and what holds the model as it began. Throws UserError. */
export async function outputScale(
  built: Pick<Built, "model" | "original">,
  options: Asked,
): Promise<{ readonly objective: Objective<Batch>; free(): void } | undefined> {
  const { output_scale: factor, output_centred: centred, recompute } = options;
  if (factor === undefined) return undefined;
  refuseOthers(built.model, options);
  const first = centred ? await built.original() : undefined;
  return { objective: scaledOutputs(built.model, factor, { first, recompute }), free: () => first?.free() };
}
