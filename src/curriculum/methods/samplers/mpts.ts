/**
 * Model predictive task sampling: a neural process predicts how badly every group would do now, and the worst are trained on, without
 * evaluating any. Wang et al. 2025, https://arxiv.org/abs/2501.11039.
 *
 *   a(x) = gamma0 mean_z y'(x, z) + gamma1 std_z y'(x, z)
 *
 * The paper draws N tasks evenly and keeps the B with the largest a. The shares here are what that gives on average: groups in order
 * of a, each N / (B K) until 1 is reached; groups of equal a share alike. After a segment the learner takes `fits` steps of Adam on
 * the training losses of the groups that were drawn (over the mean of the first ones, to be near 1), and its posterior is the next
 * prior. A group is described by one number, `features`; its position when left out.
 */
import { Random } from "../../../data/random.ts";
import { defineSampler } from "../../contract.ts";
import { atLeastTwo, perGroup } from "../../mixture-options.ts";
import { elbo, firstParameters, type Point, predict, type Shape } from "../../neural-process.ts";
import { kept } from "../../sampler-state.ts";
import { uniform } from "../../simplex.ts";

/** Shares of groups when `ratio` times as many tasks are drawn evenly as are kept, the ones of largest score. */
export function worstShares(scores: readonly number[], ratio: number): number[] {
  const each = ratio / scores.length;
  const levels = [...new Set(scores)].sort((a, b) => b - a);
  const shares = scores.map(() => 0);
  let left = 1;
  for (const level of levels) {
    const alike = scores.flatMap((score, i) => (score === level ? [i] : []));
    const taken = Math.min(left, each * alike.length);
    for (const i of alike) shares[i] = taken / alike.length;
    left -= taken;
  }
  return shares;
}

const TRAINING_SAMPLES = 4; // of z, for one step of the learner

export const method = defineSampler({
  name: "mpts",
  title: "Model predictive task sampling",
  about: "trains on the groups that a small model predicts to be worst",
  cite: "arXiv:2501.11039",
  needs: ["training"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "losses are taken relative to the first ones",
    stepZero: "it has no step size",
  },
  trials: [{ features: [1, 4, 2, 7], fits: 2, samples: 10, hidden: 8 }],
  options: {
    features: {
      type: "number[]",
      help: "one number that describes every group (digits, depth); positions when left out",
    },
    ratio: { type: "number >= 1", default: 2, help: "tasks that are considered for one that is kept" },
    gamma0: { type: "number >= 0", default: 1, help: "weight of the predicted loss" },
    gamma1: { type: "number >= 0", default: 1, help: "weight of the uncertainty of the prediction" },
    samples: { type: "number.integer >= 2", default: 50, help: "latent samples of a prediction" },
    hidden: { type: "number.integer >= 1", default: 16, help: "width of the layers" },
    latent: { type: "number.integer >= 1", default: 10, help: "size of the latent variable" },
    beta: { type: "number >= 0", default: 1e-4, help: "weight of the distance from the previous posterior" },
    learner_lr: { type: "number > 0", default: 5e-4, help: "learning rate of the neural process" },
    fits: { type: "number.integer >= 1", default: 10, help: "steps of the neural process after a segment" },
    every: { type: "number.integer >= 1", default: 10, help: "steps from one update to the next" },
  },
  make({ groups, seed, values }) {
    atLeastTwo(groups, "mpts");
    const given = values.features ? perGroup(values.features, groups, "--features") : groups.map((_, i) => i);
    const [low, high] = [Math.min(...given), Math.max(...given)];
    const tasks = given.map((x) => [high > low ? (2 * (x - low)) / (high - low) - 1 : 0]);
    const shape: Shape = { features: 1, hidden: values.hidden, latent: values.latent };
    const normals = (random: Random) => Array.from({ length: shape.latent }, () => random.normal());
    const first = firstParameters(shape, new Random(seed, "mpts", "parameters"));
    const memory = {
      p: uniform(groups.length),
      parameters: first,
      average: first.map(() => 0),
      square: first.map(() => 0),
      fitted: 0,
      updates: 0,
      unit: 0,
      mean: Array.from({ length: shape.latent }, () => 0),
      deviation: Array.from({ length: shape.latent }, () => 1),
    };

    const scores = (): { mean: number; deviation: number; score: number }[] => {
      const random = new Random(seed, "mpts", "predict", memory.updates);
      const zs = Array.from({ length: values.samples }, () =>
        normals(random).map((epsilon, i) => memory.mean[i]! + memory.deviation[i]! * epsilon),
      );
      return tasks.map((x) => {
        const predicted = zs.map((z) => predict(memory.parameters, shape, x, z));
        const mean = predicted.reduce((a, b) => a + b, 0) / zs.length;
        const deviation = Math.sqrt(predicted.reduce((sum, y) => sum + (y - mean) ** 2, 0) / zs.length);
        return { mean, deviation, score: values.gamma0 * mean + values.gamma1 * deviation };
      });
    };

    const adam = (gradient: Float64Array) => {
      const t = ++memory.fitted;
      for (const [i, g] of gradient.entries()) {
        memory.average[i] = 0.9 * memory.average[i]! + 0.1 * g;
        memory.square[i] = 0.999 * memory.square[i]! + 0.001 * g * g;
        const size = Math.sqrt(memory.square[i]! / (1 - 0.999 ** t)) + 1e-8;
        memory.parameters[i]! -= (values.learner_lr * memory.average[i]!) / (1 - 0.9 ** t) / size;
      }
    };

    return {
      ...kept(memory),
      segment: () => ({ probs: memory.p, steps: values.every }),
      update({ training = [] }) {
        memory.updates++;
        const heard = groups.flatMap((_, i) => (Number.isFinite(training[i]) ? [i] : []));
        if (heard.length === 0) return;
        if (memory.unit === 0) memory.unit = heard.reduce((sum, i) => sum + training[i]!, 0) / heard.length || 1;
        const points: Point[] = heard.map((i) => ({ x: tasks[i]!, y: training[i]! / memory.unit }));
        const prior = { mean: memory.mean, deviation: memory.deviation };
        const random = new Random(seed, "mpts", "fit", memory.updates);
        for (let fit = 0; fit < values.fits; fit++) {
          const noise = Array.from({ length: TRAINING_SAMPLES }, () => normals(random));
          const { gradient, posterior } = elbo(memory.parameters, shape, points, prior, noise, values.beta);
          adam(gradient);
          memory.mean = posterior.mean;
          memory.deviation = posterior.deviation;
        }
        memory.p = worstShares(
          scores().map(({ score }) => score),
          values.ratio,
        );
      },
      notes() {
        const all = scores();
        const unit = memory.unit || 1;
        return {
          predicted: all.map(({ mean }) => mean * unit),
          uncertain: all.map(({ deviation }) => deviation * unit),
        };
      },
    };
  },
});
