/**
 * Weights of tasks from what they do for each other and how hard they are. Dai et al. 2024 (VisATB),
 * https://arxiv.org/abs/2403.04343.
 *
 * Runs on small subsets of all tasks ("mini"), and for every i on all of task i with small subsets of the others ("i+mini"); V_j is
 * the score of task j, higher is better.
 *
 *   C_ij = (V_j(i+mini) - V_j(mini)) / (V_j(j+mini) - V_j(mini)),  D_i = 1 - V_i(mini) / V_i(i+mini)
 *   lambda = K (a_out softmax(mean_j C_ij / tau) + a_in softmax(-mean_j C_ji / tau) + a_D softmax(D / tau))
 *
 * `taskWeights` computes them; the sampler applies weights that are given. Its other strategies are the paper's baselines: equal;
 * random, anew at every update; dwa, dynamic weight average, K softmax(l / (2 l before)); gap, improvable gap,
 * K softmax(l / mean l of the `window` updates after as many to warm up). Training losses are means over `every` steps.
 */
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { defineSampler } from "../../contract.ts";
import { perGroup, SHARES, sharesOf } from "../../mixture-options.ts";
import { kept, known } from "../../sampler-state.ts";
import { normalised, softmax } from "../../simplex.ts";

export interface TaskWeights {
  /** Sum to K. */
  readonly weights: number[];
  /** Row i: what task i does for task j; NaN in the columns of saturated tasks. */
  readonly contribution: number[][];
  /** Tasks that their own data did not improve: nothing can be said relative to it. */
  readonly saturated: number[];
}

const meanKnown = (values: readonly number[]): number => {
  const all = values.filter(Number.isFinite);
  return all.length > 0 ? all.reduce((a, b) => a + b, 0) / all.length : 0;
};

/** K times softmax. */
const spread = (scores: readonly number[]): number[] => softmax(scores).map((value) => value * scores.length);

/** `mini`[j] and `full`[i][j] are V_j(mini) and V_j(i+mini). */
export function taskWeights(
  mini: readonly number[],
  full: readonly (readonly number[])[],
  { tau = 0.5, out = 0.25, inward = 0.25, difficulty = 0.5 } = {},
): TaskWeights {
  const k = mini.length;
  if (full.length !== k || full.some((row) => row.length !== k)) {
    throw new UserError(
      `task weights need ${k} x ${k} scores`,
      "one run for every task, each with a score of every task",
    );
  }
  const parts = out + inward + difficulty;
  if (Math.abs(parts - 1) > 1e-9) throw new UserError(`the parts of the task weights sum to ${parts}, expected 1`);
  const own = mini.map((score, j) => full[j]![j]! - score);
  const saturated = own.flatMap((gain, j) => (gain < 1e-6 ? [j] : []));
  const contribution = full.map((row) =>
    row.map((score, j) => (saturated.includes(j) ? Number.NaN : (score - mini[j]!) / own[j]!)),
  );
  const others = (values: readonly number[], i: number) => meanKnown(values.filter((_, j) => j !== i));
  const helps = contribution.map((row, i) => others(row, i));
  const helped = contribution.map((_, j) => contribution.map((row) => row[j]!)).map(others);
  const hard = mini.map((score, i) => (full[i]![i]! > 0 ? 1 - score / full[i]![i]! : 0));
  const [a, b, c] = [helps, helped.map((value) => -value), hard].map((scores) => spread(scores.map((x) => x / tau)));
  return { weights: mini.map((_, i) => out * a![i]! + inward * b![i]! + difficulty * c![i]!), contribution, saturated };
}

export const method = defineSampler({
  name: "task-balance",
  title: "Task balancing",
  about: "weights of groups in the loss: given, or by how fast losses fall",
  cite: "arXiv:2403.04343",
  needs: ["training"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: "--strategy random draws weights by the places of groups",
    shiftInvariant: "losses are compared by their ratios",
    stepZero: "it has no step size",
  },
  trials: [
    { group_weights: [1, 2, 3, 4] },
    { strategy: "random" },
    { strategy: "dwa" },
    { strategy: "gap" },
    { strategy: "equal" },
  ],
  options: {
    strategy: {
      type: "'given' | 'equal' | 'random' | 'dwa' | 'gap'",
      default: "given",
      help: "where weights come from",
    },
    group_weights: { type: "number[]", help: "weight of every group's tokens, in their order, scaled to sum to K" },
    window: { type: "number.integer >= 1", default: 4, help: "updates of the reference of --strategy gap" },
    every: { type: "number.integer >= 1", default: 25, help: "steps from one update to the next" },
    shares: SHARES,
  },
  make({ groups, seed, values: { strategy, group_weights, window, every, shares } }) {
    const k = groups.length;
    const probs = sharesOf(shares, groups);
    const ones = groups.map(() => 1);
    const given = group_weights && perGroup(group_weights, groups, "--group-weights");
    if (strategy === "given" && !given) {
      throw new UserError(
        "--method task-balance needs --group-weights",
        "or another --strategy: equal, random, dwa, gap",
      );
    }
    const wrong = given?.find((weight) => weight < 0);
    if (wrong !== undefined) throw new UserError(`--group-weights: ${wrong} is below 0`);
    if (given?.every((weight) => weight === 0)) throw new UserError("--group-weights: all weights are 0");
    const fixed = strategy === "given" || strategy === "equal";
    const memory = { updates: 0, losses: [] as number[], before: [] as number[], reference: groups.map(() => 0) };
    const current = (): number[] => {
      const { updates, losses, before, reference } = memory;
      if (strategy === "given") return normalised(given!).map((weight) => weight * k);
      if (strategy === "random") {
        const random = new Random(seed, "task-balance", updates);
        return spread(ones.map(() => random.normal()));
      }
      if (strategy === "dwa" && updates >= 2) {
        return spread(losses.map((loss, i) => (before[i]! > 0 ? loss / before[i]! / 2 : 0.5)));
      }
      if (strategy === "gap" && updates >= 2 * window) {
        return spread(losses.map((loss, i) => (reference[i]! > 0 ? loss / reference[i]! : 1)));
      }
      return ones;
    };
    return {
      ...kept(memory),
      segment: () => ({ probs, steps: fixed ? Number.POSITIVE_INFINITY : every, weights: current() }),
      update({ training = groups.map(() => Number.NaN) }) {
        memory.before = memory.losses;
        memory.losses = known(training, memory.losses);
        const place = memory.updates++;
        if (place < window || place >= 2 * window) return;
        memory.reference = memory.reference.map((sum, i) => sum + memory.losses[i]! / window);
      },
    };
  },
});
