/**
 * FedFix: changes of clients that are fast and slow, weighed so that the fixed point is the wanted objective.
 *
 *   x <- x + eta_g sum over those that arrived of d_k (x_k - start_k)
 *   rounds    d_k = p_k                      interval  d_k = ceil(tau_k / interval) p_k
 *   each      d_k = p_k tau_k sum_j 1/tau_j  buffer    d_k = p_k / (share of the server's steps that client k is in)
 *
 * Fraboni et al., JMLR 2023, https://arxiv.org/abs/2206.10189. Weights that are `identical` are p_k over the mean share
 * of the server's steps that a client is in: as fast, and biased towards clients that arrive often. What each client
 * counts in the end is told with the first round.
 */
import { UserError } from "../../../errors.ts";
import { defineFederation, type ServerRound } from "../../../run/among/contract.ts";
import { fedfixWeights } from "../../../run/among/rules/participation.ts";
import { sharesOf, updateOf, weightedSum } from "../../../run/among/tensors.ts";

const RULES = { interval: "fedfix", each: "async", buffer: "fedbuff" } as const;

/** d_k of all clients, by name. */
function weightsOf(
  importance: readonly number[],
  kind: "unbiased" | "identical",
  { clients, pace }: Pick<ServerRound, "clients" | "pace">,
): Map<string, number> {
  const rates = clients.map((name) => pace?.rates[name] ?? 1);
  const mean = rates.reduce((sum, rate) => sum + rate / rates.length, 0);
  const rule = pace ? RULES[pace.clock] : "sync";
  const time = clients.map((name) => pace?.times[name] ?? 1);
  const found =
    kind === "identical"
      ? importance.map((p) => p / mean)
      : fedfixWeights({ rule, importance, time, rate: rates, interval: pace?.interval ?? 1 });
  return new Map(clients.map((name, k) => [name, found[k]!]));
}

export const method = defineFederation({
  name: "fedfix",
  title: "FedFix",
  about: "changes of clients of different speed, weighed without bias",
  cite: "arXiv:2206.10189",
  laws: { still: true, agree: true, order: true },
  dtype: "f32",
  late: true,
  options: {
    server_rate: { type: "number > 0", default: 1, help: "the server's rate", value: "ETA" },
    fedfix_weights: {
      type: "'unbiased' | 'identical'",
      default: "unbiased",
      help: "whether weights make up for how often a client arrives",
    },
    importance: { type: "number[]", help: "what each client should count; all alike when left out", value: "P" },
  },

  check({ importance }) {
    if (importance?.some((p) => !(p >= 0)) || importance?.every((p) => p === 0))
      throw new UserError(`--importance ${importance.join(",")}: shares are at least 0, and not all 0`);
  },

  answer: ({ global, local }) => ({ sent: { tensors: updateOf(global, local), numbers: {} } }),

  server({ values, round, global, arrivals, clients, pace }) {
    const { server_rate: rate, fedfix_weights: kind, importance: given } = values;
    if (given && given.length !== clients.length)
      throw new UserError(`--importance has ${given.length} shares for ${clients.length} clients`, "give one for each");
    const weights = weightsOf(sharesOf(given ?? clients.map(() => 1)), kind, { clients, pace });
    const counted = sharesOf(clients.map((name) => weights.get(name)! * (pace?.rates[name] ?? 1)));
    return {
      global: weightedSum(
        arrivals.map(({ from }) => rate * weights.get(from)!),
        arrivals.map(({ sent }) => sent.tensors),
        global,
      ),
      ...(round === 0
        ? { metrics: Object.fromEntries(clients.map((name, k) => [`counts.${name}`, counted[k]!])) }
        : {}),
    };
  },
});
