/**
 * Bidirectional distillation: rows that a ridge regression of the real ones foretells (forward), and whose own ridge
 * regression foretells the real ones (backward), both in closed form (data/ridge-kernel.ts), on the numbers that a
 * model's head reads.
 *
 *   loss = gamma forward + backward;  with gamma 0 the rows are kernel inducing points (Nguyen et al. 2021, KIP)
 *   x'   = x - eta d loss / dx
 *
 * gamma and eta follow the loss A of an auxiliary model, at the rows as they are moved: gamma by dA/dgamma = -eta
 * <dA/dx', d forward/dx>, eta by dA/deta = -<dA/dx', d loss/dx>, both in steps of their logarithm and by the cosine of
 * the two, so that no unit matters. The auxiliary model is a ridge regression of the numbers of rows themselves, on a
 * third of the real rows that nothing else reads, with what the trained model answers as weak labels, or their own
 * where there is none.
 *
 * Chen et al., Bidirectional Learning for Offline Model-based Biological Sequence Design, ICML 2023,
 * https://arxiv.org/abs/2301.02931: there one design is made, here rows of every class.
 */
import { Random } from "../../data/random.ts";
import { freshWeights } from "../../run/twice/network.ts";
import { add, matmul, oneHot, times } from "../../tensor/twice/ops.ts";
import { constant, gradients, type Value, variable } from "../../tensor/twice/value.ts";
import { type RealRows, type SynthesisSetting, synthesisMethod } from "../data/contract.ts";
import { batchOf } from "../data/experts.ts";
import { drawnRows } from "../data/matching.ts";
import { backwardError, ridgeWeights, rowError } from "../data/ridge-kernel.ts";

/** A third of the rows for the auxiliary model, the others for the rest. */
function halves(rows: RealRows, inputs: number, seed: number): readonly [RealRows, RealRows] {
  const order = new Random(seed, "auxiliary").shuffled([...rows.labels.keys()]);
  const third = Math.floor(order.length / 3);
  const part = (picked: readonly number[]): RealRows => {
    const x = new Float64Array(picked.length * inputs);
    for (const [i, row] of picked.entries()) x.set(rows.x.subarray(row * inputs, (row + 1) * inputs), i * inputs);
    return { x, labels: picked.map((row) => rows.labels[row]!) };
  };
  return [part(order.slice(third)), part(order.slice(0, third))];
}

/** The model that judges moved rows: its loss at them. */
function auxiliary({ network, weights, values }: SynthesisSetting<{ readonly beta: number }>, weak: RealRows) {
  const { inputs, classes } = network;
  const x = constant(weak.x, [weak.labels.length, inputs]);
  const answers = weights && network.logits(weights, x).data;
  const best = (row: number) => {
    const own = answers!.subarray(row * classes, (row + 1) * classes);
    return own.indexOf(own.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY));
  };
  const labels = answers ? weak.labels.map((_, row) => best(row)) : weak.labels;
  const judge = ridgeWeights(x, oneHot(labels, classes), Math.max(values.beta, 1e-3));
  return (moved: Value, y: Value): Value => rowError(matmul(moved, judge), y);
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
const cosine = (a: Float64Array, b: Float64Array): number => dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);

export const method = synthesisMethod({
  name: "bidirectional",
  title: "Bidirectional distillation",
  about: "rows that a ridge regression of the real ones foretells, and whose own foretells the real ones",
  cite: "arXiv:2301.02931",
  model: "either",
  rows: "needed",
  steps: 100,
  options: {
    beta: { type: "number > 0", default: 1e-3, help: "ridge, over the mean of the kernel's diagonal", value: "B" },
    gamma: {
      type: "number >= 0",
      default: 1,
      help: "weight of the forward loss, to begin with; 0: it stays 0",
      value: "G",
    },
    gamma_lr: { type: "number >= 0", default: 0.05, help: "how fast gamma follows the auxiliary model", value: "RATE" },
    rows_lr: { type: "number > 0", default: 2, help: "eta: step of the rows, to begin with", value: "RATE" },
    rows_lr_lr: { type: "number >= 0", default: 0.05, help: "how fast eta follows the auxiliary model", value: "RATE" },
  },
  async make(setting) {
    const { network, rows, values, perClass, steps, seed, signal, done } = setting;
    const { inputs, classes } = network;
    const weights = setting.weights ?? freshWeights(network, seed);
    const [many, weak] = halves(rows!, inputs, seed);
    const first = drawnRows(many, classes, perClass, seed);
    const labels = first.map((row) => many.labels[row]!);
    const x = batchOf(many, first, network).x;
    const [y, yMany] = [oneHot(labels, classes), oneHot(many.labels, classes)];
    const phi = network.features(weights, constant(many.x, [many.labels.length, inputs]));
    const forwardWeights = ridgeWeights(phi, yMany, values.beta);
    const judge = auxiliary({ ...setting, values }, weak);
    let [gamma, eta] = [values.gamma, values.rows_lr];
    let [forward, score] = [0, 0];
    for (let step = 0; step < steps; step++) {
      signal.throwIfAborted();
      const few = variable(x.slice(), [labels.length, inputs]);
      const own = network.features(weights, few);
      const [there, back] = [rowError(matmul(own, forwardWeights), y), backwardError(own, y, phi, yMany, values.beta)];
      const slopeThere = gradients(there, [few], { once: true })[0]!.data;
      const slopeBack = gradients(back, [few], { once: true })[0]!.data;
      const slope = slopeBack.map((g, i) => g + gamma * slopeThere[i]!);
      for (let i = 0; i < x.length; i++) x[i]! -= eta * slope[i]!;
      const moved = variable(x.slice(), [labels.length, inputs]);
      const judged = judge(moved, y);
      const bySlope = gradients(judged, [moved], { once: true })[0]!.data;
      // The auxiliary loss falls where rows move against its gradient.
      gamma *= Math.exp(values.gamma_lr * cosine(bySlope, slopeThere));
      eta *= Math.exp(values.rows_lr_lr * cosine(bySlope, slope));
      forward = there.data[0]!;
      score = judged.data[0]!;
      done(add(times(there, gamma), back).data[0]!);
      if (step % 8 === 7) await Bun.sleep(0);
    }
    return { x, labels, told: { gamma, eta, forward, auxiliary: score } };
  },
});
