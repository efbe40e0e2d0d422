/**
 * Weights of tasks in the loss. Dai et al. 2024 (VisATB), https://arxiv.org/abs/2403.04343.
 *
 * `given` weights come from `curriculum balance`, which measures what tasks do for each other and how hard they are
 * (task-weights.ts). The other strategies are the paper's baselines: equal; random, drawn again at every update; dwa,
 * dynamic weight average, K softmax(l / (2 l before)); gap, improvable gap, K softmax(l / mean l of the `window`
 * updates after as many to warm up). Training losses are means over `every` steps.
 */
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { normalised, softmax } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { perGroup, SHARES, sharesOf } from "../../mixture-options.ts";
import { kept, known } from "../../sampler-state.ts";
import { readWeights } from "../../weights-file.ts";

/** K times softmax. */
const spread = (scores: readonly number[]): number[] => softmax(scores).map((value) => value * scores.length);

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
    group_weights: {
      type: "number[]",
      help: "weight of every group's tokens, in their order, scaled to sum to K; from `curriculum balance`",
    },
    weights_file: {
      type: "string",
      help: "the weights of groups by name, as curriculum balance wrote them, or the --log of a run by doge, in place of --group-weights",
      value: "FILE",
    },
    window: { type: "number.integer >= 1", default: 4, help: "updates of the reference of --strategy gap" },
    every: { type: "number.integer >= 1", default: 25, help: "steps from one update to the next" },
    shares: SHARES,
  },
  make({ groups, seed, values: { strategy, group_weights, weights_file, window, every, shares } }) {
    const k = groups.length;
    const probs = sharesOf(shares, groups);
    const ones = groups.map(() => 1);
    if (group_weights && weights_file !== undefined)
      throw new UserError("both --group-weights and --weights-file give weights", "leave one of them out");
    const given =
      weights_file === undefined
        ? group_weights && perGroup(group_weights, groups, "--group-weights")
        : readWeights(weights_file, groups);
    if (strategy === "given" && !given) {
      throw new UserError(
        "--method task-balance needs --group-weights or --weights-file",
        "bun run curriculum balance measures them; --strategy equal, random, dwa and gap need none",
      );
    }
    const flag = weights_file === undefined ? "--group-weights" : `--weights-file ${weights_file}`;
    const wrong = given?.find((weight) => weight < 0);
    if (wrong !== undefined) throw new UserError(`${flag}: ${wrong} is below 0`);
    if (given?.every((weight) => weight === 0)) throw new UserError(`${flag}: all weights are 0`);
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
