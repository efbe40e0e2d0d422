/**
 * Curriculum data synthesis: a trained model is turned into rows, class by class, through views that go from whole
 * images to small parts.
 *
 *   loss = cross-entropy(model(view of x), class) + r * gap of its layers' statistics (data/layer-statistics.ts)
 *
 * The least share of a view falls from 1 to 0.08 over the first kappa of the steps, by a cosine, a line or a step. With
 * kappa 0 it is 0.08 from the start, which is SRe2L.
 *
 * Yin and Shen, TMLR 2024, https://arxiv.org/abs/2311.18838; SRe2L: Yin, Xing and Shen, NeurIPS 2023,
 * https://arxiv.org/abs/2306.13092
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Network } from "../../run/twice/network.ts";
import { add, crossEntropy, mapped, oneHot, times } from "../../tensor/twice/ops.ts";
import { constant, gradients, variable } from "../../tensor/twice/value.ts";
import { synthesisMethod } from "../data/contract.ts";
import { cropMap, drawCrop, type ImageShape } from "../data/crops.ts";
import { judged, normModules, statisticsOf } from "../data/layer-statistics.ts";

const LEAST = 0.08;
type Course = "cosine" | "linear" | "step";

/** The least share of a view at a step. */
export function leastShare(step: number, steps: number, { kappa, course }: { kappa: number; course: Course }): number {
  const end = kappa * steps;
  if (step >= end) return LEAST;
  if (course === "step") return 1;
  const left = course === "linear" ? 1 - step / end : (1 + Math.cos((Math.PI * step) / end)) / 2;
  return LEAST + (1 - LEAST) * left;
}

/** What rows are as images. Throws UserError where nothing says it. */
function imageOf({ image, inputs, ref }: Network, shape: readonly number[] | undefined): ImageShape {
  if (image) return [image.channels, image.side, image.side];
  const [channels = 0, height = 0, width = 0] = shape ?? [];
  if (shape === undefined)
    throw new UserError(`cda looks at parts of images, and ${ref} takes vectors`, "say what they are: --shape 1,8,8");
  const whole = shape.length === 3 && shape.every((side) => Number.isInteger(side) && side >= 1);
  if (!whole || channels * height * width !== inputs)
    throw new UserError(
      `--shape ${shape.join(",")} is no image of the ${inputs} numbers that ${ref} takes`,
      "give channels, height and width: --shape 1,8,8",
    );
  return [channels, height, width];
}

/** Throws UserError for what is no range. */
function rangeOf(range: readonly number[] | undefined): readonly [number, number] {
  if (range === undefined) return [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const [low = Number.NaN, high = Number.NaN] = range;
  if (range.length === 2 && low < high) return [low, high];
  throw new UserError(`--range ${range.join(",")} is no range`, "give its ends: --range 0,1");
}

export const method = synthesisMethod({
  name: "cda",
  title: "Curriculum data synthesis",
  about: "rows that a trained model is sure of and finds usual, through views from whole images to small parts",
  cite: "arXiv:2311.18838",
  model: "trained",
  rows: "may",
  steps: 1000,
  options: {
    kappa: { type: "0 <= number <= 1", default: 1, help: "share of the steps in which views get smaller", value: "K" },
    course: { type: "'cosine' | 'linear' | 'step'", default: "cosine", help: "how the least share of a view falls" },
    gap_weight: {
      type: "number >= 0",
      default: 1, // of large images 0.05
      help: "r: weight of the distance from the statistics of batch norms, or of all layers over --data",
      value: "R",
    },
    rows_lr: { type: "number > 0", default: 0.1, help: "learning rate of the rows, which falls to 0", value: "RATE" },
    rows_batch: { type: "number.integer >= 1", default: 100, help: "rows that are made together", value: "N" },
    jitter: {
      type: "number.integer >= 0",
      help: "farthest roll of a view, in pixels; a seventh of the height when left out",
      value: "N",
    },
    flip: { type: "boolean", default: true, help: "mirror half of the views; --no-flip where sides matter" },
    range: { type: "number[]", help: "least and most that a number may be; any when left out", value: "LOW,HIGH" },
    views: {
      type: "number.integer >= 0",
      default: 0,
      help: "parts of each row that are written beside it, to be labelled by a teacher",
      value: "N",
    },
    shape: { type: "number[]", help: "channels, height and width where the model takes vectors", value: "C,H,W" },
  },
  check({ shape, range }, network) {
    imageOf(network, shape);
    rangeOf(range);
  },
  async make({ network, weights, rows, values, perClass, steps, seed, signal, done, info }) {
    const image = imageOf(network, values.shape);
    const [low, high] = rangeOf(values.range);
    const wanted = statisticsOf(network, weights!, rows);
    if (values.gap_weight > 0 && wanted.size === 0)
      throw new UserError(
        `${network.ref} has no batch norms whose statistics say what rows are usual`,
        "give rows to measure its layers on, --data rows.jsonl, or --gap-weight 0",
      );
    if (rows && normModules(network).length > 0)
      info("the statistics are those of batch norms; --data is not looked at");
    const jitter = values.jitter ?? Math.floor(image[1] / 7);
    const { classes, inputs } = network;
    // One row of each class after the other, so that rows made together are of all classes.
    const labels = Array.from({ length: classes * perClass }, (_, i) => i % classes);
    const all = new Float64Array(labels.length * inputs);
    const batches = Math.ceil(labels.length / values.rows_batch);
    const last = { loss: 0, right: 0 };
    for (let batch = 0; batch < batches; batch++) {
      const first = batch * values.rows_batch;
      const own = labels.slice(first, first + values.rows_batch);
      const start = new Random(seed, "rows", batch);
      const x = Float64Array.from({ length: own.length * inputs }, () => start.normal());
      const move = adam(x);
      for (let step = 0; step < steps; step++) {
        signal.throwIfAborted();
        const least = leastShare(step, steps, values);
        const crop = drawCrop(image, { least, flip: values.flip, jitter }, new Random(seed, "view", batch, step));
        const seen = variable(x.slice(), [own.length, inputs]);
        const { logits, gap } = judged(network, weights!, mapped(seen, cropMap(image, crop)), wanted);
        const loss = add(crossEntropy(logits, oneHot(own, classes)), times(gap, values.gap_weight));
        move(
          gradients(loss, [seen], { once: true })[0]!.data,
          (values.rows_lr * (1 + Math.cos((Math.PI * step) / steps))) / 2,
        );
        for (let i = 0; i < x.length; i++) x[i] = Math.min(high, Math.max(low, x[i]!));
        last.loss = loss.data[0]!;
        if (batch === batches - 1) done(last.loss);
        if (step % 16 === 15) await Bun.sleep(0);
      }
      all.set(x, first * inputs);
      last.right += rightOf(network.logits(weights!, constant(x, [own.length, inputs])).data, own, classes);
    }
    const order = [...labels.keys()].sort((a, b) => labels[a]! - labels[b]! || a - b);
    const made = order.flatMap((row) => {
      const numbers = all.slice(row * inputs, (row + 1) * inputs);
      const parts = Array.from({ length: values.views }, (_, view) => {
        const crop = drawCrop(
          image,
          { least: LEAST, flip: values.flip, jitter: 0 },
          new Random(seed, "part", row, view),
        );
        return mapped(constant(numbers, [1, inputs]), cropMap(image, crop)).data;
      });
      return [numbers, ...parts].map((one) => ({ one, label: labels[row]! }));
    });
    const x = new Float64Array(made.length * inputs);
    for (const [i, { one }] of made.entries()) x.set(one, i * inputs);
    return { x, labels: made.map(({ label }) => label), told: { recognised: last.right / labels.length } };
  },
});

/** Rows whose largest logit is that of their class. */
function rightOf(logits: Float64Array, labels: readonly number[], classes: number): number {
  return labels.filter((label, row) => {
    const own = logits.subarray(row * classes, (row + 1) * classes);
    return own.every((z, c) => c === label || z < own[label]!);
  }).length;
}

/** Adam with betas 0.5 and 0.9, whose rate changes from step to step. */
function adam(x: Float64Array): (gradient: Float64Array, rate: number) => void {
  const [means, squares] = [new Float64Array(x.length), new Float64Array(x.length)];
  let steps = 0;
  return (gradient, rate) => {
    steps++;
    for (let i = 0; i < x.length; i++) {
      means[i] = 0.5 * means[i]! + 0.5 * gradient[i]!;
      squares[i] = 0.9 * squares[i]! + 0.1 * gradient[i]! ** 2;
      const size = Math.sqrt(squares[i]! / (1 - 0.9 ** steps)) + 1e-8;
      x[i]! -= (rate * means[i]!) / (1 - 0.5 ** steps) / size;
    }
  };
}
