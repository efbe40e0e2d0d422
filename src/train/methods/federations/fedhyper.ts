/**
 * FedHyper: rates that grow while updates agree with the ones before, and shrink where they turn back.
 *
 *   D_t = mean change of the clients, by rows;  c_t = <D_t, D_(t-1)>
 *   global  alpha <- clip(alpha + c_t, 1/g, g),  x <- x + alpha D_t
 *   server  clients multiply their rate by beta <- clip(beta + c_t, 1/l, l)
 *   client  each client's rate follows its own steps (train/among/local-rates.ts)
 *
 * Wang et al., ICLR 2024, https://arxiv.org/abs/2310.03156. The authors' products are of the changes as they are
 * (`--hyper-normalise none`); here they are of unit vectors when not said otherwise, so that rates do not depend on the
 * scale of weights. --clients 1 with `client` is hypergradient descent of one training.
 */
import { UserError } from "../../../errors.ts";
import { defineFederation } from "../../../run/among/contract.ts";
import { innerProduct, sharesOf, updateOf, weightedSum } from "../../../run/among/tensors.ts";
import { keptRate, LocalRates } from "../../among/local-rates.ts";

const WHERE = ["global", "server", "client"];
const clip = (value: number, most: number): number => Math.min(most, Math.max(1 / most, value));

export const method = defineFederation({
  name: "fedhyper",
  title: "FedHyper",
  about: "rates of server and clients that follow whether updates agree",
  cite: "arXiv:2310.03156",
  laws: { still: true, agree: true, order: true },
  dtype: "f32",
  options: {
    hyper_rates: {
      type: "string[]",
      default: ["global"],
      help: "which rates follow, once for each: global, the server's; server, the clients' by the server; client, each client's own",
      value: "WHERE",
    },
    hyper_normalise: {
      type: "'cos' | 'none'",
      default: "cos",
      help: "products of unit vectors, or of changes as they are",
    },
    hyper_most: { type: "number > 1", default: 3, help: "bound of the server's rate, and 1 over it", value: "G" },
    hyper_local: {
      type: "number > 1",
      default: 10,
      help: "bound of what clients' rates are multiplied by",
      value: "L",
    },
  },

  check({ hyper_rates: rates }) {
    const odd = rates.find((rate) => !WHERE.includes(rate));
    if (odd !== undefined)
      throw new UserError(`--hyper-rates ${odd}: the rates are ${WHERE.join(", ")}`, "give the flag once for each");
  },

  local({ gpu, parameters, values: { hyper_rates: rates, hyper_local: most, hyper_normalise: how } }) {
    let told = 1;
    const own = rates.includes("client")
      ? new LocalRates(gpu, parameters, { most, normalises: how === "cos", steps: 1 })
      : undefined;
    return {
      begin(round) {
        told = round.told.numbers.rate ?? 1;
        return own?.begin(round);
      },
      rate: () => told,
      ...(own ? { updates: own.updates, end: () => own.end(), bytes: own.bytes, free: () => own.free() } : {}),
    };
  },

  answer: ({ global, local, found }) => ({
    sent: { tensors: updateOf(global, local), numbers: {} },
    kept: keptRate(found),
  }),

  server({ values, global, kept, arrivals }) {
    const { hyper_rates: rates, hyper_normalise: how, hyper_most: most, hyper_local: mostLocal } = values;
    const shares = sharesOf(arrivals.map(({ rows }) => rows));
    const change = weightedSum(
      shares,
      arrivals.map(({ sent }) => sent.tensors),
    );
    let agreement = kept.tensors.size > 0 ? innerProduct(change, kept.tensors) : 0;
    if (how === "cos" && agreement !== 0)
      agreement /= Math.sqrt(innerProduct(change, change) * innerProduct(kept.tensors, kept.tensors));
    const { alpha: before = 1, beta: localBefore = 1 } = kept.numbers;
    const alpha = rates.includes("global") ? clip(before + agreement, most) : 1;
    const beta = rates.includes("server") ? clip(localBefore + agreement, mostLocal) : 1;
    return {
      global: weightedSum([alpha], [change], global),
      kept: { tensors: change, numbers: { alpha, beta } },
      told: { tensors: rates.includes("client") ? change : new Map(), numbers: { rate: beta } },
      metrics: { agreement, server_rate: alpha, client_rate: beta },
    };
  },
});
