/**
 * FedAvg: the mean of the clients' weights by their numbers of rows, with a rate of the server.
 *
 *   x <- x + eta_g sum_k p_k (x_k - x),  p_k = n_k / sum n
 *
 * McMahan et al., AISTATS 2017, https://arxiv.org/abs/1602.05629; the rate by Reddi et al., ICLR 2021,
 * https://arxiv.org/abs/2003.00295. In f32 clients send weights, so that one client alone gives them back to the bit;
 * in fewer bits they send what has changed, which rounding hurts less.
 */
import { defineFederation } from "../../../run/among/contract.ts";
import { sharesOf, updateOf, weightedSum } from "../../../run/among/tensors.ts";

export const method = defineFederation({
  name: "fedavg",
  title: "FedAvg",
  about: "the mean of the clients' weights by their numbers of rows",
  cite: "arXiv:1602.05629",
  laws: { still: true, agree: true, order: true },
  dtype: "f32",
  options: {
    server_rate: { type: "number > 0", default: 1, help: "the server's rate; 1 is the mean", value: "ETA" },
  },

  answer({ global, local, dtype }) {
    if (dtype === "f32") return { sent: { tensors: local, numbers: { whole: 1 } } };
    return { sent: { tensors: updateOf(global, local), numbers: { whole: 0 } } };
  },

  server({ values, global, arrivals }) {
    const shares = sharesOf(arrivals.map(({ rows }) => rows));
    const rate = values.server_rate;
    const whole = arrivals.every(({ sent }) => sent.numbers.whole === 1);
    const terms = arrivals.map(({ sent }) => sent.tensors);
    if (whole && rate === 1) return { global: weightedSum(shares, terms) };
    const updates = whole ? terms.map((local) => updateOf(global, local)) : terms;
    return {
      global: weightedSum(
        shares.map((share) => rate * share),
        updates,
        global,
      ),
    };
  },
});
