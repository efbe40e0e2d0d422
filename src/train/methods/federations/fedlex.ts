/**
 * FedLEx: clients first explore how much the gradient of each weight changes from step to step; later gradients are
 * scaled by that, so that weights about which clients disagree move less.
 *
 *   d_i = mean over steps of |g_t - g_(t-1)| of client i, in a first round that leaves the weights as they were
 *   G = mean of d_i,  r = G / mean(G) of each tensor,  g' = g s(r),  s = 1 / (1 + r) over its mean
 *
 * Interno et al., "Federated Loss Exploration", IJCNN 2024, https://arxiv.org/abs/2506.18640. The scaling function is a
 * reconstruction: the source's own was not seen. `own` takes |d_i - G| in place of G. Otherwise clients are averaged by
 * their rows. Guidance comes with the weights in every round.
 */
import { defineFederation, type Tensors } from "../../../run/among/contract.ts";
import { sharesOf, updateOf, weightedSum } from "../../../run/among/tensors.ts";
import { Guidance } from "../../among/guidance.ts";

/** s of every weight, from how much its gradient changes. */
export function scalesOf(guidance: Tensors): Tensors {
  return new Map(
    [...guidance].map(([name, values]) => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      const raw = Float64Array.from(values, (value) => 1 / (1 + value / (mean + 1e-12)));
      const level = raw.reduce((sum, value) => sum + value, 0) / raw.length;
      return [name, Float32Array.from(raw, (value) => value / level)];
    }),
  );
}

/** |a - b| of every weight. */
const apart = (a: Tensors, b: Tensors): Tensors =>
  new Map([...a].map(([name, values]) => [name, values.map((value, i) => Math.abs(value - b.get(name)![i]!))]));

export const method = defineFederation({
  name: "fedlex",
  title: "Federated loss exploration",
  about: "gradients scaled down where they changed much in a round of exploration",
  cite: "arXiv:2506.18640",
  laws: {
    still: true,
    agree: "the first round explores, and keeps the weights",
    order: true,
  },
  dtype: "f32",
  options: {
    lex_by: {
      type: "'consensus' | 'own'",
      default: "consensus",
      help: "what scales gradients: how much they change on average, or how far the client is from that",
    },
  },

  local: ({ gpu, parameters, values: { lex_by: by } }) =>
    new Guidance(gpu, parameters, ({ tensors: shared }, { tensors: own }) => {
      if (shared.size === 0) return undefined;
      return scalesOf(by === "own" && own.size > 0 ? apart(own, shared) : shared);
    }),

  answer({ global, local, found, told, kept }) {
    if (told.tensors.size > 0) return { sent: { tensors: updateOf(global, local), numbers: {} }, kept };
    return { sent: { tensors: found.tensors, numbers: {} }, kept: found };
  },

  server({ round, global, kept, arrivals }) {
    const terms = arrivals.map(({ sent }) => sent.tensors);
    if (round === 0) {
      const guidance = weightedSum(sharesOf(arrivals.map(() => 1)), terms);
      return { global, kept: { tensors: guidance, numbers: {} }, told: { tensors: guidance, numbers: {} } };
    }
    const shares = sharesOf(arrivals.map(({ rows }) => rows));
    return { global: weightedSum(shares, terms, global), kept, told: kept };
  },
});
