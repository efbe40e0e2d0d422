/**
 * DoGE, domain reweighting with generalization estimation: groups whose gradient points where that of held-out rows
 * points get more. Fan, Pagliardini and Jaggi 2023, https://arxiv.org/abs/2310.15393.
 *
 *   s_i = clip(<g_i, g> / (mean_j |g_j| + 1e-6), 0, 5),  alpha <- smooth(EG(alpha, s, eta `every`), epsilon)
 *
 * g_i is the gradient of the group's training loss, g that of the mean held-out loss of the groups that are aimed at
 * (`aim`); eta is the paper's learning rate over its mu, and counts for every step. Departs from it in that alpha moves
 * once in `every` steps, not in each, and that rows are drawn by alpha instead of gradients being weighed by it. The
 * notes hold the average of alpha over the updates, which is the paper's result: `curriculum doge` writes it.
 */
import { exponentiated, smoothed, uniform } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { atLeastTwo, MIXTURE, mixtureOf } from "../../mixture-options.ts";
import { kept } from "../../sampler-state.ts";

/** The largest score. */
const MOST = 5;

export const method = defineSampler({
  name: "doge",
  title: "DoGE",
  about: "more of the groups whose gradient agrees with that of held-out rows",
  cite: "arXiv:2310.15393",
  needs: ["alignments"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: "hears gradients, not losses",
    anyGroupOrder: true,
    shiftInvariant: true,
    stepZero: true,
  },
  trials: [{ every: 5 }, { eta: 1, every: 50, epsilon: 0.05 }],
  options: {
    eta: { type: "number >= 0", default: 0.05, help: "step size for every step: the learning rate over mu" },
    epsilon: { type: "0 < number <= 1", default: 0.001, help: "share of the uniform mixture that is mixed in" },
    every: { type: "number.integer >= 1", default: 10, help: "steps from one update to the next" },
    mixture: { ...MIXTURE, help: `where it starts: ${MIXTURE.help}; uniform when left out` },
    aim: {
      type: "string[]",
      value: "GROUP",
      help: "held-out groups whose mean loss is to be small; all of them when left out",
    },
  },
  make({ groups, values: { eta, epsilon, every, mixture } }) {
    atLeastTwo(groups, "doge");
    const alpha = mixtureOf(mixture, groups) ?? uniform(groups.length);
    const memory = { alpha, sum: groups.map(() => 0), updates: 0, scores: groups.map(() => 0) };
    return {
      ...kept(memory),
      segment: () => ({ probs: memory.alpha, steps: every }),
      update({ alignments = [] }) {
        const norms = alignments.map(({ norm }) => norm).filter(Number.isFinite);
        const mean = norms.reduce((sum, norm) => sum + norm, 0) / Math.max(1, norms.length);
        memory.scores = memory.scores.map((before, i) => {
          const score = (alignments[i]?.product ?? Number.NaN) / (mean + 1e-6);
          return Number.isFinite(score) ? Math.min(MOST, Math.max(0, score)) : before;
        });
        if (eta > 0) memory.alpha = smoothed(exponentiated(memory.alpha, memory.scores, eta * every), epsilon);
        memory.updates++;
        memory.sum = memory.sum.map((sum, i) => sum + memory.alpha[i]!);
      },
      notes: () => ({
        scores: memory.scores,
        average: memory.updates > 0 ? memory.sum.map((sum) => sum / memory.updates) : memory.alpha,
      }),
    };
  },
});
