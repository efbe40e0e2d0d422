/**
 * `train --adversarial-loss smooth`: the loss of rows as they are, of margins divided by rho, and how far an adversary
 * moves the vector of margins D_k = z_y - z_k. Mao, Mohri and Zhong, ICML 2023, https://arxiv.org/abs/2304.07288
 *
 *   loss(z(x) / rho, y) + nu max |D(x') - D(x)|
 *
 * `--loss compsum` is the paper's; any loss of rows takes its place. Both halves of a batch go through the model
 * together, so that batch norms see rows as they are and moved.
 */
import type { Batch } from "../../data/batch.ts";
import { meanWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import type { Grows } from "../../run/adversarial/adversary.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { type ChosenLoss, type LabelLoss, labelRows } from "../../run/training/label-loss.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { add, addScalar, mul, scale, sqrt, square, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { labelRow } from "../../tensor/ops/label-row.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { TRAIN } from "../options.ts";

/** Keeps the length of a vector that is 0 with a slope. */
const TINY = 1e-12;

/** Squared length (B) of what margins move by, where logits move by `moves` (B, classes). */
function squaredMoves(rec: Recorder, moves: Tensor, targets: Tensor): Tensor {
  const [rows = 0, classes = 0] = moves.shape;
  const own = sumTo(rec, mul(rec, moves, labelRow(rec, targets, classes)), [rows, 1]);
  return rowSum(rec, square(rec, sub(rec, own, moves)));
}

/** What the adversary makes large: the same direction as the length's. */
export const marginMoves: Grows = (rec, { logits, unmoved, targets }) =>
  squaredMoves(rec, sub(rec, logits, unmoved()), targets);

/** Whether the options ask for it. */
export const isSmooth = (options: Pick<Values<typeof TRAIN>, "adversarial" | "adversarial_loss">): boolean =>
  options.adversarial && options.adversarial_loss === "smooth";

/** Where rows are moved to, and where they stand. */
export const howMoved = (options: Values<typeof TRAIN>) =>
  isSmooth(options) ? { beside: true, grows: marginMoves } : { texts: true };

/** Throws UserError for options that do not go with it. */
export function checkSmooth(options: Values<typeof TRAIN>, loss: LabelLoss): void {
  if (!isSmooth(options)) return;
  const others = {
    [`--loss ${loss.name}`]: loss.own !== undefined,
    "--mixup": options.mixup > 0,
    "--contrastive": options.contrastive > 0,
    "--loss-balance": options.loss_balance !== "none",
    [`--head ${options.head}`]: options.head !== "own",
    "--heads per-domain": options.heads === "per-domain",
    [`--credit ${options.credit}`]: options.credit !== "backprop",
  };
  const other = Object.entries(others).find(([, given]) => given)?.[0];
  if (other)
    throw new UserError(
      `--adversarial-loss smooth is a loss of its own, and ${other} asks for another`,
      "leave one of them out",
    );
}

/** The objective over batches whose second half is the first, moved. Throws UserError for losses not of rows. */
export function smoothObjective(
  model: Model,
  { loss, weight, rho }: { readonly loss: ChosenLoss; readonly weight: number; readonly rho: number },
): Objective<Batch> {
  if (loss.numbers || !loss.loss.method.rows)
    throw new UserError(
      `--adversarial-loss smooth takes a loss of rows, and --loss ${loss.loss.method.name} is none, or remembers them`,
      "take another loss",
    );
  const half = (batch: Batch) => batch.rows / 2;
  return {
    name: "smooth-adversarial",
    ...ofBatch<Batch>((batch) => batch),
    counted: (batch) => batch.counted / 2,
    size: half,

    record(rec, batch): RecordedLoss {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch), { statistics: "batch" });
      const targets = recordTargets(rec, batch);
      const logits = head(hidden); // (2 B, K)
      const classes = logits.shape[1] ?? 0;
      const rows = half(batch);
      const weights = rec.input("weights", [batch.rows]); // 1 / total for rows as they are, 0 for moved ones
      const losses = labelRows(rec, loss, scale(rec, logits, 1 / rho), targets);
      const signs = rec.constant(Float32Array.of(-1, 1), [2, 1, 1], "moved less unmoved");
      const moves = sumTo(rec, mul(rec, rec.reshape(logits, [2, rows, classes]), signs), [1, rows, classes]);
      const labels = rec.input("labels", [rows], "i32");
      const squared = squaredMoves(rec, rec.reshape(moves, [rows, classes]), labels);
      const lengths = sqrt(rec, addScalar(rec, squared, TINY)); // (B)
      const each = rec.input("each", [rows]); // nu / total
      const [own, apart] = [dot(rec, losses, weights), dot(rec, lengths, each)];
      return {
        backward: [
          [losses, weights],
          [lengths, each],
        ],
        metrics: { loss: add(rec, own, apart), margin_moves: apart },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      const targets = fillTargets(program, batch);
      const rows = half(batch);
      const weights = meanWeights(targets, total).fill(0, rows);
      program.write("weights", weights);
      program.write(
        "each",
        weights.subarray(0, rows).map((w) => weight * w),
      );
      program.write("labels", targets.subarray(0, rows));
    },
  };
}
