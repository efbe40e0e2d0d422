/**
 * `train --dynamic-width ftwt`: layers get predictors that say for each input which hidden units will fire, trained by
 * plain classification against what does,
 *
 *   L = CE + 1 / layers sum over layers of mean over rows of sum over units of BCE(predictor, fires)
 *
 * A unit fires if it is among the largest that together hold `--mass` of the layer's response, |x| at its largest over
 * positions. Masks apply in the pass, with the gradient of the predictor's sigmoid; no gradient goes from a predictor
 * to what it reads. After `--dynamic-until` of the steps predictors stay as they are. Elkerdawy et al., "Fire Together
 * Wire Together", CVPR 2022, https://arxiv.org/abs/2110.08232
 */
import type { Batch } from "../../data/batch.ts";
import { meanWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import { DYNAMIC_MODELS, DYNAMIC_WIDTH } from "../../model/blocks/dynamic-width.ts";
import type { Model, Recorded } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { firing } from "../../run/tracing/firing.ts";
import type { ConfigChange } from "../../run/training/config-change.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { add, addScalar, logSigmoid, mul, neg, scale, scaleGradient, sub } from "../../tensor/ops/elementwise.ts";
import { dot, sum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import type { TRAIN } from "../options.ts";
import { refuseBeside } from "./refuse.ts";

type Options = Values<typeof TRAIN>;

/** The config with predictors; undefined where none are asked for. */
export function withPredictors(options: Options): ConfigChange | undefined {
  if (options.dynamic_width === undefined) return undefined;
  return (json, { ref }) => {
    if (!DYNAMIC_MODELS.some((name) => name === json.model_type))
      throw new UserError(
        `--dynamic-width switches hidden units of ${DYNAMIC_MODELS.join(" and ")}, and ${ref} is a ${json.model_type}`,
        "leave it out",
      );
    return { ...json, [DYNAMIC_WIDTH]: { mass: options.mass } };
  };
}

/** Sum over units of BCE(z, y), mean over rows: (1). z, y (N, U), y 0 or 1. */
export function maskLoss(rec: Recorder, z: Tensor, y: Tensor): Tensor {
  // -y log s - (1 - y) log(1 - s) = -log s + (1 - y) z
  const each = add(rec, neg(rec, logSigmoid(rec, z)), mul(rec, addScalar(rec, neg(rec, y), 1), z));
  return scale(rec, sum(rec, each), 1 / rowsOf(z).rows);
}

/** Losses of all predictors, and how often they are right. */
function recordMasks(rec: Recorder, { notes }: Recorded, rows: number, mass: number) {
  const layers = firing(rec, notes, rows, mass);
  const total = (of: (layer: (typeof layers)[number]) => Tensor) =>
    scale(
      rec,
      layers.map(of).reduce((a, b) => add(rec, a, b)),
      1 / layers.length,
    );
  const share = (x: Tensor) => scale(rec, sum(rec, x), 1 / x.shape.reduce((a, b) => a * b, 1));
  return {
    loss: total(({ logits, fires }) => maskLoss(rec, logits, fires)),
    kept: total(({ kept }) => share(kept)),
    right: total(({ kept, fires }) => {
      const both = mul(rec, kept, fires);
      // 1 - (kept - fires)^2, for values of 0 and 1
      return share(addScalar(rec, sub(rec, scale(rec, both, 2), add(rec, kept, fires)), 1));
    }),
  };
}

/** Cross-entropy of a model with switched units, and the losses of its predictors. */
export function ftwtObjective(
  model: Model,
  { mass, until, steps }: { readonly mass: number; readonly until: number; readonly steps: number },
): Objective<Batch> {
  let live = 1;
  return {
    ...ofBatch<Batch>((batch) => batch),
    name: "switched units",
    begin(step) {
      live = Number(step <= until * steps);
    },

    record(rec, batch): RecordedLoss {
      const inputs = recordInputs(rec, batch);
      const passes = rec.input("predictors learn", [1]);
      const recorded = model.record(rec, inputs, {
        statistics: "batch",
        replace: (name, x) => (name.startsWith("predictor.") ? scaleGradient(rec, x, passes) : x),
      });
      const targets = recordTargets(rec, batch);
      const losses = crossEntropy(rec, recorded.head(recorded.hidden), targets);
      const weights = rec.input("weights", targets.shape);
      const masks = mass < 0 ? undefined : recordMasks(rec, recorded, batch.rows, mass);
      const loss = dot(rec, losses, weights);
      if (!masks) return { backward: [[losses, weights]], metrics: { loss } };
      return {
        backward: [
          [losses, weights],
          [masks.loss, rec.input("share", [1])],
        ],
        metrics: { loss, mask_loss: masks.loss, units_kept: masks.kept, masks_right: masks.right },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      program.write("weights", meanWeights(fillTargets(program, batch), total));
      if (program.takes("predictors learn")) program.write("predictors learn", Float32Array.of(live));
      if (program.takes("share")) program.write("share", Float32Array.of(total > 0 ? batch.counted / total : 0));
    },
  };
}

/** Throws UserError for models and options that it is not for. */
export function ftwtWork(model: Model, options: Options, steps: number): { readonly objective: Objective<Batch> } {
  refuseBeside("--dynamic-width ftwt", model, options);
  // Weights that stay as they are do not decay, either.
  for (const [name, parameter] of model.parameters) if (/(^|\.)predictors?\./.test(name)) parameter.decays = false;
  return { objective: ftwtObjective(model, { mass: options.mass, until: options.dynamic_until, steps }) };
}
