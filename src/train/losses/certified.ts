/**
 * `train --certified ibp`: a classifier learns by the loss of the worst logits that interval bounds allow within a ball
 * about every input (Gowal et al., ICCV 2019, https://arxiv.org/abs/1810.12715), with the radius rising from 0 over a
 * warm-up, and two terms that keep the bounds healthy meanwhile: Shi et al., Fast Certified Robust Training with Short
 * Warmup, NeurIPS 2021, https://arxiv.org/abs/2103.17268
 *
 *   tightness  relu(t - mean half-width of the inputs / mean half-width of what an activation reads) / t
 *   balance    [relu(t - min(a / b, b / a)) + relu(t - the same of squared deviations)] / t
 *
 * a and b are the sums of the centres of units that are active, and inactive, for the whole box, so that their number
 * counts as well as their size. Both are means over activations, t is 1 / 2, and they weigh lambda (1 - radius / last
 * radius). With a radius of 0 the loss is that of the inputs themselves.
 */
import type { Batch } from "../../data/batch.ts";
import { lossWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Box } from "../../model/architecture.ts";
import { lowerEnd, upperEnd } from "../../model/blocks/box.ts";
import type { Model } from "../../model/model.ts";
import { checkRange, rangeOf } from "../../run/adversarial/options.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { expectBounds, inputBox, lowerMargins, worstLogits } from "../../run/certifying/margins.ts";
import type { ReadRows } from "../../run/training/batch-source.ts";
import type { Controller } from "../../run/training/controller.ts";
import { type ChosenLoss, type LabelLoss, labelRows, wholeBatch } from "../../run/training/label-loss.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { relu } from "../../tensor/ops/activation.ts";
import {
  add,
  addScalar,
  clamp,
  div,
  isPositive,
  maximum,
  minimum,
  mul,
  neg,
  scale,
  square,
  sub,
} from "../../tensor/ops/elementwise.ts";
import { dot, mean, sum } from "../../tensor/ops/reduce.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { TRAIN } from "../options.ts";
import type { CERTIFIED } from "./certified-options.ts";

/** Names of the numbers that programs take. */
const [EPSILON, BELOW, LAMBDA] = ["certified_epsilon", "certified_below", "certified_lambda"];
const TOLERANCE = 0.5;
/** Keeps ratios of nothing finite. */
const TINY = 1e-12;

/** The radius of a step (from 1), and what the terms of the warm-up weigh. */
export function courseOf(
  { certified_start: start, certified_warmup: warmup, certified_lambda: lambda }: Values<typeof CERTIFIED>,
  last: number,
  steps: number,
) {
  return (step: number) => {
    const done = (step - 1) / steps - start;
    const t = warmup === 0 ? (done >= 0 ? 1 : 0) : Math.min(1, Math.max(0, done / warmup));
    const risen = t * t * (3 - 2 * t);
    const epsilon = last * risen;
    return { epsilon, lambda: epsilon > 0 ? lambda * (1 - risen) : 0 };
  };
}

/** Gives programs the radius of each step. It is a function of the step, so that nothing has to be kept. */
export const radiusController = (course: ReturnType<typeof courseOf>): Controller => ({
  name: "certified",
  values(step) {
    const { epsilon, lambda } = course(step);
    return { [EPSILON]: epsilon, [BELOW]: -epsilon, [LAMBDA]: lambda };
  },
  state: () => null,
  load: () => {},
});

/** min(a / b, b / a) of two that are not negative; 0 where one is 0. */
const ratioOf = (rec: Recorder, a: Tensor, b: Tensor): Tensor =>
  div(rec, minimum(rec, a, b), clamp(rec, maximum(rec, a, b), TINY, Number.MAX_VALUE));

const below = (rec: Recorder, ratio: Tensor): Tensor =>
  scale(rec, relu(rec, addScalar(rec, neg(rec, ratio), TOLERANCE)), 1 / TOLERANCE);

/** Tightness and balance of the box that an activation reads, (1). `width` (1): mean half-width of the inputs. */
export function warmUpTerms(rec: Recorder, width: Tensor, box: Box): { tightness: Tensor; balance: Tensor } {
  const { center, radius } = box;
  const spread = clamp(rec, mean(rec, radius), TINY, Number.MAX_VALUE);
  const active = isPositive(rec, lowerEnd(rec, box));
  const inactive = isPositive(rec, neg(rec, upperEnd(rec, box)));
  const middle = mean(rec, center);
  const deviation = square(rec, sub(rec, center, middle));
  const of = (x: Tensor, mask: Tensor) => sum(rec, mul(rec, x, mask));
  const means = ratioOf(rec, of(center, active), neg(rec, of(center, inactive)));
  const squares = ratioOf(rec, of(deviation, active), of(deviation, inactive));
  return {
    tightness: below(rec, div(rec, width, spread)),
    balance: add(rec, below(rec, means), below(rec, squares)),
  };
}

interface CertifiedOptions {
  readonly loss: ChosenLoss;
  readonly range: readonly [number, number];
  readonly regularized: boolean;
}

/** The loss of the worst logits, and the terms of the warm-up. */
export function certifiedObjective(model: Model, { loss, range, regularized }: CertifiedOptions): Objective<Batch> {
  return {
    name: "certified",
    ...ofBatch<Batch>((batch) => batch),

    record(rec, batch): RecordedLoss {
      const inputs = recordInputs(rec, batch);
      if (!("x" in inputs)) throw new TypeError("texts have no boxes");
      const recorded = model.record(rec, inputs, { statistics: "batch" });
      const given = inputBox(rec, inputs.x, { epsilon: dynamic(EPSILON), below: dynamic(BELOW), range });
      const read: Box[] = [];
      const hidden = recorded.bounded(given, (box) => read.push(box));
      const targets = recordTargets(rec, batch);
      const margins = lowerMargins(rec, model, recorded, hidden, targets);
      const logits = worstLogits(rec, margins);
      const weights = rec.input("weights", [batch.rows]); // 1 / total where a row counts
      const one = rec.constant(Float32Array.of(1), [1], "one");
      const isBatch = loss.loss.method.batch !== undefined;
      const rows = isBatch ? wholeBatch(rec, loss, logits, targets) : labelRows(rec, loss, logits, targets);
      const own = isBatch ? rows : dot(rec, rows, weights);
      const first: [Tensor, Tensor] = [rows, isBatch ? one : weights];
      if (!regularized || read.length === 0) return { backward: [first], metrics: { loss: own } };
      const width = mean(rec, given.radius);
      const terms = read.map((box) => warmUpTerms(rec, width, box));
      const meanOf = (name: "tightness" | "balance") =>
        scale(
          rec,
          terms.map((term) => term[name]).reduce((a, b) => add(rec, a, b)),
          1 / terms.length,
        );
      const [tightness, balance] = [meanOf("tightness"), meanOf("balance")];
      const term = scale(rec, add(rec, tightness, balance), dynamic(LAMBDA));
      // Micro-batches have means of their own, each of which counts by its share of the rows.
      const share = rec.input("share", [1]);
      const told = (x: Tensor) => mul(rec, x, share);
      return {
        backward: [first, [term, share]],
        metrics: {
          loss: add(rec, own, told(term)),
          certified_loss: scale(rec, own, 1),
          tightness: told(tightness),
          balance: told(balance),
        },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      program.write("weights", lossWeights(batch, fillTargets(program, batch), total));
      if (program.takes("share")) program.write("share", Float32Array.of(batch.counted / total));
    },
  };
}

/** Throws UserError for options that say otherwise what inputs are, or what they are trained by. */
export function checkCertified(options: Values<typeof TRAIN>, loss: LabelLoss): void {
  if (options.certified === undefined) return;
  checkRange(options.certified_range, "--certified-range");
  const others = {
    [`--loss ${loss.name}`]: loss.own !== undefined,
    "--adversarial": options.adversarial,
    "--mixup": options.mixup > 0,
    "--contrastive": options.contrastive > 0,
    [`--head ${options.head}`]: options.head !== "own",
    "--heads per-domain": options.heads === "per-domain",
    [`--credit ${options.credit}`]: options.credit !== "backprop",
    "--loss-balance": options.loss_balance !== "none",
    "--adapter": options.adapter !== undefined,
    "--lora": options.lora,
    "--lora-continue": options.lora_continue,
    "--prequential": options.prequential,
    "--schedule-search": options.schedule_search,
  };
  const other = Object.entries(others).find(([, given]) => given)?.[0];
  if (other)
    throw new UserError(
      `--certified trains all weights by bounds of outputs, and ${other} asks for another training`,
      "leave one of them out",
    );
}

/** What a certified training has in the place of cross-entropy; undefined where --certified is not given. */
export function certifiedWork(
  model: Model,
  source: ReadRows,
  options: Values<typeof CERTIFIED>,
  { loss, steps, ref }: { readonly loss: ChosenLoss; readonly steps: number; readonly ref: string },
): { readonly objective: Objective<Batch>; readonly controllers: readonly Controller[] } | undefined {
  if (options.certified === undefined) return undefined;
  expectBounds(model, ref, "--certified ibp");
  if (loss.numbers)
    throw new UserError(
      `--certified does not go with --loss ${loss.loss.method.name}, which remembers rows`,
      "take another loss",
    );
  const examples = "examples" in source ? source.examples : [];
  const numbers = examples.flatMap((example) => ("x" in example ? [example] : []));
  const range = rangeOf(numbers, options.certified_range, "--certified-range");
  const epsilon = options.certified_epsilon ?? 0.1 * (range[1] - range[0]);
  const regularized = options.certified_lambda > 0;
  return {
    objective: certifiedObjective(model, { loss, range, regularized }),
    controllers: [radiusController(courseOf(options, epsilon, steps))],
  };
}
