/**
 * DoReMi as an online reweighting: groups whose loss is above that of a reference model get more. Xie et al. 2023,
 * https://arxiv.org/abs/2305.10429.
 *
 *   lambda_i = max(l_i - reference_i, 0),  alpha <- smooth(EG(alpha, lambda, eta), epsilon)
 *
 * l_i is the mean training loss of the group since the last update (a group that was not drawn keeps its lambda), so
 * the excess is clipped per group, not per token. `apply` weights draws by size and gives tokens the weight alpha_i /
 * s_i, as the paper's proxy model is trained; draw draws by alpha. The notes hold the average of alpha over the steps,
 * which is the paper's result.
 */

import { exponentiated, smoothed } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { bySize, EVERY, MIXTURE, mixtureOf, perGroup } from "../../mixture-options.ts";
import { kept } from "../../sampler-state.ts";

export const method = defineSampler({
  name: "doremi",
  title: "DoReMi",
  about: "more of the groups whose loss exceeds that of a reference model",
  cite: "arXiv:2305.10429",
  needs: ["training"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "losses are compared with those of a reference model",
    stepZero: true,
  },
  trials: [{ reference_losses: [0.5, 1, 0.2, 0.8] }, { reference_losses: [0.5, 1, 0.2, 0.8], apply: "weights" }],
  options: {
    reference_losses: {
      type: "number[]",
      required: true,
      help: "loss of a reference model on every group, nats per token",
    },
    eta: { type: "number >= 0", default: 1, help: "step size; 0.1 where one group takes all" },
    epsilon: { type: "0 <= number <= 1", default: 0.001, help: "share of the uniform mixture that is mixed in" },
    every: EVERY,
    mixture: { ...MIXTURE, help: `where it starts: ${MIXTURE.help}; by size when left out` },
    apply: { type: "'draw' | 'weights'", default: "draw", help: "draw by alpha, or weight the loss by it" },
  },
  make({ groups, values: { reference_losses, eta, epsilon, every, mixture, apply } }) {
    const reference = perGroup(reference_losses, groups, "--reference-losses");
    const shares = mixtureOf(mixture, groups) ?? bySize(groups);
    const memory = { alpha: shares, excess: groups.map(() => 0), sum: groups.map(() => 0), updates: 0 };
    return {
      ...kept(memory),
      segment() {
        if (apply === "draw") return { probs: memory.alpha, steps: every };
        const weights = memory.alpha.map((alpha, i) => (shares[i]! > 0 ? alpha / shares[i]! : 0));
        return { probs: shares, steps: every, weights };
      },
      update({ training = [] }) {
        memory.updates++;
        memory.sum = memory.sum.map((sum, i) => sum + memory.alpha[i]!);
        memory.excess = memory.excess.map((before, i) => {
          const loss = training[i] ?? Number.NaN;
          return Number.isFinite(loss) ? Math.max(loss - reference[i]!, 0) : before;
        });
        if (eta > 0) memory.alpha = smoothed(exponentiated(memory.alpha, memory.excess, eta), epsilon);
      },
      notes: () => ({
        excess: memory.excess,
        average: memory.updates > 0 ? memory.sum.map((sum) => sum / memory.updates) : memory.alpha,
        ...(Math.max(...memory.alpha) > 0.95 &&
          groups.length > 1 && { warning: "one group has more than 0.95 of the mixture" }),
      }),
    };
  },
});
