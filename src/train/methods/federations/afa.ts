/**
 * Anarchic federated averaging: clients come when they like, take as many steps as they like, and send what one step is
 * on average, so that the number of steps does not weigh.
 *
 *   G_k = (start_k - x_k) / (eta_l K_k),  K_k local steps at the mean rate eta_l
 *   cd   x <- x - eta mean of G_k over those that arrived
 *   cs   x <- x - eta mean over all clients of the latest G_k of each, which takes away the bias of uneven arrival
 *
 * Yang et al., ICML 2022, https://arxiv.org/abs/2108.09875. Before a client has come once, cs is the mean over the
 * others. G_k is a gradient where clients use SGD.
 */
import { defineFederation, type Tensors } from "../../../run/among/contract.ts";
import { anarchicWeights } from "../../../run/among/rules/participation.ts";
import { updateOf, weightedSum } from "../../../run/among/tensors.ts";

/** Between a client's name and that of a tensor, in what the server keeps. */
const OF = "\u0000";

/** The latest changes of every client that has come, by its name. */
function latestOf(kept: Tensors): Map<string, Map<string, Float32Array>> {
  const found = new Map<string, Map<string, Float32Array>>();
  for (const [key, values] of kept) {
    const [name = "", tensor = ""] = key.split(OF);
    const own = found.get(name) ?? new Map<string, Float32Array>();
    found.set(name, own.set(tensor, values));
  }
  return found;
}

export const method = defineFederation({
  name: "afa",
  title: "Anarchic federated averaging",
  about: "clients come when they like and send the mean of their steps",
  cite: "arXiv:2108.09875",
  laws: { still: true, agree: "takes a step of its own rate towards where the clients agree", order: true },
  dtype: "f32",
  late: true,
  options: {
    afa_rule: {
      type: "'cd' | 'cs'",
      default: "cs",
      help: "the server's mean: over those that arrived, or over the latest of every client",
    },
    afa_rate: { type: "number > 0", default: 0.1, help: "rate of the server's step", value: "ETA" },
  },

  answer: ({ global, local, rate }) => ({ sent: { tensors: updateOf(global, local), numbers: { rate } } }),

  server({ values: { afa_rule: rule, afa_rate: eta }, global, kept, arrivals }) {
    const came = arrivals.map(({ from, steps, sent }) => ({
      from,
      steps,
      rate: sent.numbers.rate!,
      tensors: sent.tensors,
    }));
    if (rule === "cd")
      return {
        global: weightedSum(
          anarchicWeights(eta, came),
          came.map(({ tensors }) => tensors),
          global,
        ),
      };
    // Mean steps rather than changes are kept, since every one has its own number of steps and rate.
    const latest = latestOf(kept.tensors);
    for (const { from, steps, rate, tensors } of came)
      latest.set(from, new Map(weightedSum(anarchicWeights(1, [{ steps, rate }]), [tensors])));
    const all = [...latest.keys()].sort();
    const share = eta / all.length;
    const means = all.map((name) => latest.get(name)!);
    return {
      global: weightedSum(
        means.map(() => share),
        means,
        global,
      ),
      kept: {
        tensors: new Map(
          all.flatMap((name) => [...latest.get(name)!].map(([tensor, own]) => [`${name}${OF}${tensor}`, own] as const)),
        ),
        numbers: {},
      },
    };
  },
});
