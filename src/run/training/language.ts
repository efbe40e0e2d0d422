/** The objective of language modelling: mean cross-entropy of the tokens that count. */
import type { Batch } from "../../data/batch.ts";
import { modelInputs, tokenWeights } from "../../data/lm-batch.ts";
import type { TokenInputs } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Objective } from "./objective.ts";

export interface LanguageOptions {
  readonly smoothing?: number;
  readonly zLoss?: number;
  readonly recompute?: boolean;
  /** Most bytes of logits that exist at once. */
  readonly logitBytes?: number;
}

/** Declares the inputs of a language model for batches of one shape. */
export function tokenInputs(rec: Recorder, { rows, length, packed }: Batch, prefix = ""): TokenInputs {
  const n = rows * length;
  return {
    batch: rows,
    length,
    ids: rec.input(`${prefix}ids`, [n], "i32"),
    positions: rec.input(`${prefix}positions`, [n], "i32"),
    ...(packed ? { segments: rec.input(`${prefix}segments`, [rows, length], "i32") } : {}),
  };
}

/** Fills what `tokenInputs` declared. */
export function fillTokens(program: Program, batch: Batch, prefix = ""): void {
  const inputs = modelInputs(batch);
  program.write(`${prefix}ids`, inputs.ids);
  if (program.takes(`${prefix}positions`)) program.write(`${prefix}positions`, inputs.positions);
  if (batch.packed) program.write(`${prefix}segments`, inputs.segments);
}

/** Name of a batch's shape. */
export const batchKey = ({ rows, length, packed }: Batch): string => `${rows}x${length}${packed ? " packed" : ""}`;

export function languageObjective(model: Model, options: LanguageOptions = {}): Objective<Batch> {
  const { smoothing, zLoss, recompute = false, logitBytes } = options;
  return {
    name: "cross-entropy",
    key: batchKey,
    counted: ({ counted }) => counted,
    size: ({ rows, length }) => rows * length,
    describe: ({ documents }) =>
      documents
        .map(({ sequence }) => sequence.place)
        .slice(0, 3)
        .join(", "),

    record(rec, batch) {
      const { hidden, head } = model.record(rec, tokenInputs(rec, batch), { recompute });
      const n = batch.rows * batch.length;
      const targets = rec.input("targets", [n], "i32");
      const weights = rec.input("weights", [n]); // 1 / total where the token counts
      const nll = headLoss(rec, {
        hidden,
        head,
        width: model.sizes.outputs,
        targets,
        ...(smoothing ? { smoothing } : {}),
        ...(zLoss ? { zLoss } : {}),
        ...(logitBytes ? { budget: logitBytes } : {}),
      }); // (N)
      return { backward: [[nll, weights]], metrics: { loss: dot(rec, nll, weights) } };
    },

    fill(program, batch, total) {
      fillTokens(program, batch);
      const inputs = modelInputs(batch);
      program.write("targets", inputs.targets);
      program.write("weights", tokenWeights(inputs.targets, total));
    },
  };
}
