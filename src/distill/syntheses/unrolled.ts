/**
 * Dataset distillation: rows and a learning rate for which some steps of gradient descent from new weights end where
 * the loss of real rows is least.
 *
 *   loss = L(theta_0 - eta dL(theta_0, synthetic) - ..., real rows),  theta_0 drawn anew
 *
 * Wang et al. 2018, https://arxiv.org/abs/1811.10959. Rows begin as real ones, and learn with Adam.
 */
import { Random } from "../../data/random.ts";
import { freshWeights, trainable } from "../../run/twice/network.ts";
import { adam } from "../../tensor/descent.ts";
import { crossEntropy } from "../../tensor/twice/ops.ts";
import { constant, gradients, variable } from "../../tensor/twice/value.ts";
import { synthesisMethod } from "../data/contract.ts";
import { batchOf, weightsWith } from "../data/experts.ts";
import { drawnRows } from "../data/matching.ts";
import { unrolled } from "../data/unrolled.ts";

export const method = synthesisMethod({
  name: "unrolled",
  title: "Dataset distillation",
  about: "rows after which, a few steps from new weights, the loss of real rows is least",
  cite: "arXiv:1811.10959",
  model: "config",
  rows: "needed",
  steps: 200,
  options: {
    inner_steps: { type: "number.integer >= 1", default: 10, help: "steps on synthetic rows", value: "N" },
    real_batch: { type: "number.integer >= 1", default: 256, help: "real rows whose loss is made small", value: "N" },
    rows_lr: { type: "number >= 0", default: 0.02, help: "learning rate of the rows", value: "RATE" },
    inner_lr: {
      type: "number > 0",
      default: 0.1,
      help: "learning rate of the steps on them, to begin with",
      value: "RATE",
    },
  },
  async make({ network, rows, values, perClass, steps, seed, signal, done }) {
    const real = rows!;
    const first = drawnRows(real, network.classes, perClass, seed);
    const labels = first.map((row) => real.labels[row]!);
    const all = labels.map((_, i) => i);
    const x = batchOf(real, first, network).x;
    const logRate = Float64Array.of(Math.log(values.inner_lr)); // so that the rate stays above 0
    const [moveRows, moveRate] = [adam(values.rows_lr), adam(values.rows_lr)];
    for (let step = 0; step < steps; step++) {
      signal.throwIfAborted();
      const random = new Random(seed, "unrolled", step);
      const rest = freshWeights(network, random.word());
      const synthetic = variable(x.slice(), [labels.length, network.inputs]);
      const rate = variable([Math.exp(logRate[0]!)], [1]);
      const went = unrolled(
        trainable(network).map(({ name }) => rest.get(name)!),
        {
          ...{ network, rest, x: synthetic, labels, rate, steps: values.inner_steps, momentum: 0, factor: 1 },
          picked: () => all,
        },
      );
      const batch = batchOf(real, random.shuffled([...real.labels.keys()]).slice(0, values.real_batch), network);
      const seen = constant(batch.x, [batch.x.length / network.inputs, network.inputs]);
      const logits = network.logits(weightsWith(network, went.at(-1)!, rest), seen, { norms: "batch" });
      const loss = crossEntropy(logits, batch.targets);
      const [byRows, byRate] = gradients(loss, [synthetic, rate], { once: true });
      moveRows.step(x, byRows!.data);
      moveRate.step(
        logRate,
        byRate!.data.map((g) => g * rate.data[0]!),
      );
      done(loss.data[0]!);
      if (step % 8 === 7) await Bun.sleep(0);
    }
    return { x, labels, rate: Math.exp(logRate[0]!), steps: values.inner_steps };
  },
});
