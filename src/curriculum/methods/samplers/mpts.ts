/**
 * Model predictive task sampling: a neural process predicts how badly every group would do now, and the worst are
 * trained on, without evaluating any. Wang et al. 2025, https://arxiv.org/abs/2501.11039.
 *
 *   a(x) = gamma0 mean_z y'(x, z) + gamma1 std_z y'(x, z)
 *
 * The paper draws N tasks evenly and keeps the B with the largest a. The shares here are what that gives on average:
 * groups in order of a, each N / (B K) until 1 is reached; groups of equal a share alike. Two departures keep groups
 * from being starved: shares are equal for the first `burn_in` updates, while the process knows little, and `epsilon`
 * of the uniform mixture is mixed in, so that every group is heard of again. After a segment the process takes `fits`
 * steps of Adam on the training losses of the groups that were drawn (over the mean of the first ones, to be near 1),
 * and its posterior is the next prior. A group is described by one number or several, `features`; its position when
 * left out.
 */
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { smoothed, uniform } from "../../../run/simplex.ts";
import { defineSampler, type GroupSize } from "../../contract.ts";
import { atLeastTwo, perGroup } from "../../mixture-options.ts";
import { firstState, NeuralProcess } from "../../neural-process.ts";
import { kept } from "../../sampler-state.ts";
import { worstShares } from "../../worst-shares.ts";

const FIT_SAMPLES = 4; // of z, for one step of learning

/** Mean and standard deviation of every column. */
function statisticsOf(rows: readonly (readonly number[])[]): { mean: number[]; deviation: number[] } {
  const average = (of: (row: readonly number[]) => number) => rows.reduce((sum, row) => sum + of(row), 0) / rows.length;
  const mean = rows[0]!.map((_, i) => average((row) => row[i]!));
  return { mean, deviation: mean.map((m, i) => Math.sqrt(average((row) => (row[i]! - m) ** 2))) };
}

/** Features of every group, (K, F), each scaled to [-1, 1]. Throws UserError for another number of them. */
function scaledFeatures(given: readonly number[], groups: readonly GroupSize[]): number[][] {
  const each = given.length / groups.length;
  if (each === 0 || !Number.isInteger(each)) perGroup(given, groups, "--features");
  const rows = groups.map((_, k) => given.slice(k * each, (k + 1) * each));
  if (!given.every(Number.isFinite)) throw new UserError("--features: some is not a finite number");
  return rows.map((row) =>
    row.map((x, f) => {
      const column = rows.map((other) => other[f]!);
      const [low, high] = [Math.min(...column), Math.max(...column)];
      return high > low ? (2 * (x - low)) / (high - low) - 1 : 0;
    }),
  );
}

export const method = defineSampler({
  name: "mpts",
  title: "Model predictive task sampling",
  about: "trains on the groups that a small model predicts to be worst",
  cite: "arXiv:2501.11039",
  needs: ["training", "gpu"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "losses are taken relative to the first ones",
    stepZero: "it has no step size",
  },
  trials: [{ features: [1, 4, 2, 7], fits: 2, samples: 10, hidden: 8, every: 100, burn_in: 1, learner_lr: 0.01 }],
  options: {
    features: {
      type: "number[]",
      help: "numbers that describe every group (digits, depth), as many of each, group by group; positions when left out",
    },
    ratio: { type: "number >= 1", default: 2, help: "tasks that are considered for one that is kept" },
    gamma0: { type: "number >= 0", default: 1, help: "weight of the predicted loss" },
    gamma1: { type: "number >= 0", default: 1, help: "weight of the uncertainty of the prediction" },
    burn_in: {
      type: "number.integer >= 0",
      default: 20,
      help: "updates with equal shares first, in which the predictions are learned",
    },
    epsilon: { type: "0 <= number <= 1", default: 0.1, help: "share of the uniform mixture that is mixed in" },
    samples: { type: "number.integer >= 2", default: 50, help: "latent samples of a prediction" },
    hidden: { type: "number.integer >= 1", default: 16, help: "width of the layers" },
    latent: { type: "number.integer >= 1", default: 10, help: "size of the latent variable" },
    beta: { type: "number >= 0", default: 1e-4, help: "weight of the distance from the previous posterior" },
    learner_lr: { type: "number > 0", default: 5e-4, help: "learning rate of the neural process" },
    fits: { type: "number.integer >= 1", default: 10, help: "steps of the neural process after a segment" },
    every: { type: "number.integer >= 1", default: 10, help: "steps from one update to the next" },
  },
  make({ groups, steps, seed, gpu, values }) {
    atLeastTwo(groups, "mpts");
    const tasks = scaledFeatures(values.features ?? groups.map((_, i) => i), groups);
    const { hidden, latent, beta, samples, learner_lr: lr } = values;
    const shape = { tasks: groups.length, features: tasks[0]!.length, hidden, latent };
    const normals = (random: Random, count: number) => Array.from({ length: count }, () => random.normal());
    const memory = {
      p: uniform(groups.length),
      process: firstState(shape, new Random(seed, "mpts", "parameters")),
      updates: 0,
      unit: 0,
      prior: { mean: Array.from({ length: latent }, () => 0), deviation: Array.from({ length: latent }, () => 1) },
      predicted: [] as number[],
      uncertain: [] as number[],
    };
    const isShort = values.burn_in * values.every >= steps;
    const warning = isShort && "the training ends before the predictions decide: lower --burn-in or --every";
    const state = kept(memory);
    let learner: NeuralProcess | undefined;
    let isStale = true; // whether the learner's weights are older than the state

    const opened = async (): Promise<NeuralProcess> => {
      if (!gpu) throw new Error("mpts was made without a GPU");
      learner ??= await NeuralProcess.make(gpu, { shape, tasks, beta, fitSamples: FIT_SAMPLES, samples, lr });
      if (isStale) learner.write(memory.process);
      isStale = false;
      return learner;
    };

    const predict = async (process: NeuralProcess) => {
      const random = new Random(seed, "mpts", "predict", memory.updates);
      const { mean, deviation } = memory.prior;
      const z = Array.from({ length: samples }, () =>
        normals(random, latent).map((epsilon, i) => mean[i]! + deviation[i]! * epsilon),
      );
      return statisticsOf(await process.predict(z.flat()));
    };

    return {
      state: state.state,
      load(saved) {
        state.load(saved);
        isStale = true;
      },
      segment: () => ({ probs: memory.p, steps: values.every }),
      async update({ training = [] }) {
        memory.updates++;
        const heard = training.filter(Number.isFinite);
        if (heard.length === 0) return;
        if (memory.unit === 0) memory.unit = heard.reduce((sum, loss) => sum + loss, 0) / heard.length || 1;
        const process = await opened();
        const random = new Random(seed, "mpts", "fit", memory.updates);
        const risks = training.map((loss) => loss / memory.unit);
        for (let fit = 0; fit < values.fits; fit++)
          memory.prior = await process.fit(risks, normals(random, FIT_SAMPLES * latent), memory.prior);
        memory.process = await process.read();
        const { mean, deviation } = await predict(process);
        memory.predicted = mean.map((risk) => risk * memory.unit);
        memory.uncertain = deviation.map((spread) => spread * memory.unit);
        if (memory.updates < values.burn_in) return;
        const scores = mean.map((risk, i) => values.gamma0 * risk + values.gamma1 * deviation[i]!);
        memory.p = smoothed(worstShares(scores, values.ratio), values.epsilon);
      },
      notes: () => ({ predicted: memory.predicted, uncertain: memory.uncertain, ...(warning && { warning }) }),
      free: () => learner?.free(),
    };
  },
});
