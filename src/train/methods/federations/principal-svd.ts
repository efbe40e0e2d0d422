/**
 * Principal directions of the clients' changes (the server's side of FedLD): tensor by tensor the mean change is
 * rebuilt from the leading ones, which leaves out what one client alone wants.
 *
 * Zeng et al., MICCAI 2024, https://arxiv.org/abs/2408.12300; the formula is that of `merge --method principal_svd`.
 * The first round and tensors of one value take the plain mean. `--loss margin-log` is the clients' side.
 */
import { defineFederation } from "../../../run/among/contract.ts";
import { principalWeights } from "../../../run/among/rules/principal-directions.ts";
import { ofName, summed, updateOf } from "../../../run/among/tensors.ts";

/** Inner products of one tensor's changes. */
const gramOf = (rows: readonly Float32Array[]): number[][] =>
  rows.map((a) =>
    rows.map((b) => {
      let sum = 0;
      for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
      return sum;
    }),
  );

export const method = defineFederation({
  name: "principal_svd",
  title: "Principal-direction aggregation (FedLD)",
  about: "the mean change, rebuilt from its leading principal directions",
  cite: "arXiv:2408.12300",
  laws: { still: true, agree: true, order: true },
  dtype: "f32",
  options: {
    svd_keep: { type: "0 < number <= 1", default: 0.8, help: "share of the directions that is kept", value: "F" },
    svd_lambda: {
      type: "number > 0",
      default: 1,
      help: "scale of the change; above 1 gives back length that is lost where clients disagree",
      value: "L",
    },
  },

  answer: ({ global, local }) => ({ sent: { tensors: updateOf(global, local), numbers: {} } }),

  server({ values: { svd_keep: keep, svd_lambda: lambda }, round, global, arrivals }) {
    const sent = arrivals.map(({ sent: { tensors } }) => tensors);
    const weights = new Map<string, Float32Array>();
    for (const [name, start] of global) {
      const rows = ofName(sent, name);
      const isPlain = round === 0 || start.length === 1;
      const shares = isPlain ? rows.map(() => 1 / rows.length) : principalWeights(gramOf(rows), keep);
      weights.set(
        name,
        summed(
          shares.map((share) => (isPlain ? share : lambda * share)),
          rows,
          start,
        ),
      );
    }
    return { global: weights };
  },
});
