/**
 * Aioli: measures during training how the loss of every group answers to the share of every group, and follows it.
 * Chen et al. 2024, https://arxiv.org/abs/2411.05735.
 *
 * Law: L_i falls by sum_j A_ij p_j. A round begins with probes, short segments that give one group the share f; the
 * drops D_ir under probe r, averaged over `passes`, are P A_i = D_i with P the matrix of probes, solved in closed form.
 * Then A >= 0 with sum 1 (its least entry, if negative, is subtracted) and
 *
 *   p_j in proportion to p_j exp(eta * sum_i A_ij)
 *
 * or, with `gamma`, the step from uniform with the moving average of A. Probes are part of the round's steps. Where
 * less than a round is left, the last mixture stays.
 */
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { columnSums, normaliseLaw, probeMixture } from "../../../run/mixture-laws.ts";
import { exponentiated, uniform } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { atLeastTwo, MIXTURE, mixtureOf, wholeSteps } from "../../mixture-options.ts";
import { kept, known } from "../../sampler-state.ts";

type Matrix = readonly (readonly number[])[];

/** A from P A_i = D_i: P has f on its diagonal, g elsewhere and rows that sum to 1, so sum A_i = sum D_i. */
export function solveLaw(drops: Matrix, f: number): number[][] {
  const g = (1 - f) / (drops.length - 1);
  return drops.map((row) => {
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((drop) => (drop - g * sum) / (f - g));
  });
}

export const method = defineSampler({
  name: "aioli",
  title: "Aioli",
  about: "fits a linear law of losses and shares during training, and follows it",
  cite: "arXiv:2411.05735",
  needs: ["losses"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: "groups are probed in an order drawn by their places",
    shiftInvariant: true,
    stepZero: "probes depart from the mixture",
  },
  trials: [
    { round: 0.25, passes: 1, lp_steps: 1 },
    { round: 0.25, gamma: 0.3 },
    { round: 0.25, diagonal: true, prior_steps: 100 },
  ],
  options: {
    round: { type: "number > 0", default: 0.05, help: "steps of a round, or below 1 the share of all steps" },
    passes: { type: "number.integer >= 1", default: 4, help: "times that every group is probed in a round" },
    lp_steps: { type: "number.integer >= 1", default: 4, help: "steps of a probe" },
    share: { type: "0 < number <= 1", help: "f, the share of the probed group; 0.75 of two, else 0.5, when left out" },
    eta: { type: "number >= 0", default: 0.2, help: "step size; 0 keeps the prior mixture" },
    gamma: {
      type: "0 <= number < 1",
      help: "moving average of the law, each step from uniform; steps add up when left out",
    },
    diagonal: { type: "boolean", default: false, help: "only the answer of every group to its own share" },
    mixture: { ...MIXTURE, help: `prior: ${MIXTURE.help}; uniform when left out` },
    prior_steps: { type: "number.integer >= 0", default: 0, help: "steps under the prior before the first round" },
  },
  make({ groups, steps, seed, values }) {
    atLeastTwo(groups, "aioli");
    const k = groups.length;
    const { passes, lp_steps, eta, gamma, prior_steps } = values;
    // Half is what each of two groups has anyway: a probe has to favour one.
    const share = values.share ?? (k === 2 ? 0.75 : 0.5);
    const round = wholeSteps(values.round, steps);
    const probes = passes * k;
    if (probes * lp_steps >= round) {
      throw new UserError(
        `--passes ${passes} and --lp-steps ${lp_steps} for ${k} groups take ${probes * lp_steps} steps of a round of ${round}`,
        `a round is ${probes * lp_steps + 1} steps or more: train longer, give a larger --round, or lower --passes or --lp-steps`,
      );
    }
    if (prior_steps + round > steps) {
      const what = prior_steps > 0 ? `--prior-steps ${prior_steps} and --round ${round} do` : `--round ${round} does`;
      throw new UserError(
        `${what} not fit into ${steps} steps`,
        "train longer with --steps or --epochs, or shorten them",
      );
    }
    if (share <= 1 / k) {
      throw new UserError(`--share ${share} does not favour one of ${k} groups`, `it must be above 1/${k}`);
    }
    const prior = mixtureOf(values.mixture, groups) ?? uniform(k);
    const zero = () => groups.map(() => groups.map(() => 0));
    /** Place -1: before the first round. Below `probes`: that probe. Then the rest of the round. */
    const memory = {
      place: -1,
      round: 0,
      step: 0,
      p: prior,
      losses: [] as number[],
      drops: zero(),
      law: [] as number[][],
    };
    const probed = (): number => {
      const random = new Random(seed, "aioli", memory.round);
      const all = groups.map((_, i) => i);
      return Array.from({ length: passes }, () => random.shuffled(all)).flat()[memory.place]!;
    };

    const learn = () => {
      const mean = memory.drops.map((row) => row.map((drop) => drop / passes));
      const law = values.diagonal
        ? mean.map((row, i) => row.map((drop, j) => (i === j ? drop : 0))) // over f, which normalising takes out
        : solveLaw(mean, share);
      const now = normaliseLaw(law);
      const before = memory.law;
      const moving = gamma !== undefined && before.length > 0;
      memory.law = moving ? now.map((row, i) => row.map((a, j) => (1 - gamma) * a + gamma * before[i]![j]!)) : now;
      memory.p = exponentiated(gamma === undefined ? memory.p : uniform(k), columnSums(memory.law), eta);
      memory.drops = zero();
    };

    return {
      ...kept(memory),
      segment() {
        if (memory.place < 0) return { probs: prior, steps: prior_steps };
        if (memory.place < probes) return { probs: probeMixture(k, probed(), share), steps: lp_steps };
        const rest = round - probes * lp_steps;
        const last = memory.step + rest + round > steps;
        return { probs: memory.p, steps: last ? Number.POSITIVE_INFINITY : rest };
      },
      update({ step, losses = [] }) {
        const now = known(losses, memory.losses);
        if (memory.place >= 0 && memory.place < probes) {
          const group = probed();
          for (let i = 0; i < k; i++) memory.drops[i]![group]! += memory.losses[i]! - now[i]!;
        }
        memory.losses = now;
        memory.step = step;
        memory.place++;
        if (memory.place === probes) learn();
        if (memory.place > probes) {
          memory.place = 0;
          memory.round++;
        }
      },
      notes: () => ({ round: memory.round, law: memory.law }),
    };
  },
});
