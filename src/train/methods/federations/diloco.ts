/**
 * DiLoCo: many local steps, and a step of the server with Nesterov's momentum along the mean of the clients' changes.
 *
 *   Delta = x - mean_k x_k
 *   v <- mu v + Delta,   x <- x - eta (Delta + mu v)
 *
 * Douillard et al., 2023, https://arxiv.org/abs/2311.08105. Clients use AdamW, whose states stay with them, and the
 * default rates are the paper's. What has changed travels in eight bits with a scale for every 256 values; the paper
 * sends f32.
 */
import { defineFederation } from "../../../run/among/contract.ts";
import { ofName, summed, updateOf, zerosLike } from "../../../run/among/tensors.ts";

export const method = defineFederation({
  name: "diloco",
  title: "DiLoCo",
  about: "many local steps, then Nesterov's step along the mean of what has changed",
  cite: "arXiv:2311.08105",
  laws: { still: true, agree: "goes past where the clients agree, or not as far", order: true },
  dtype: "int8",
  options: {
    outer_lr: { type: "number > 0", default: 0.7, help: "rate of the server's step", value: "ETA" },
    outer_momentum: { type: "0 <= number < 1", default: 0.9, help: "Nesterov's momentum of the server", value: "MU" },
  },

  answer: ({ global, local }) => ({ sent: { tensors: updateOf(global, local), numbers: {} } }),

  server({ values: { outer_lr: rate, outer_momentum: mu }, global, kept, arrivals }) {
    const share = arrivals.map(() => 1 / arrivals.length);
    const terms = arrivals.map(({ sent }) => sent.tensors);
    const before = kept.tensors.size > 0 ? kept.tensors : zerosLike(global);
    const velocities = new Map<string, Float32Array>();
    const weights = new Map<string, Float32Array>();
    for (const [name, start] of global) {
      const change = summed(share, ofName(terms, name)); // -Delta
      const velocity = summed([mu, 1], [before.get(name)!, change]);
      velocities.set(name, velocity);
      weights.set(name, summed([rate, rate * mu], [change, velocity], start));
    }
    return { global: weights, kept: { tensors: velocities, numbers: {} } };
  },
});
