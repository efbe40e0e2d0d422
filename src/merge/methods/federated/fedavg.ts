/**
 * FedAvg: the base plus the average of the clients' updates, by their numbers of samples.
 *
 * McMahan et al., AISTATS 2017, https://arxiv.org/abs/1602.05629, with a server rate (Reddi et al., ICLR 2021,
 * https://arxiv.org/abs/2003.00295): base + eta_g sum_k p_k (x_k - base), p_k = n_k / sum n.
 */
import { UserError } from "../../../errors.ts";
import { mergeMethod } from "../../contract.ts";
import { addTaskVectors } from "../../updates/add-task-vectors.ts";

export const method = mergeMethod({
  name: "fedavg",
  title: "FedAvg",
  about: "base plus the clients' updates averaged by numbers of samples",
  cite: "arXiv:1602.05629",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    samples: { type: "number >= 0", per: "model", default: 1, help: "samples that the client trained on" },
    eta_g: { type: "number", default: 1, help: "the server's rate; 1 is the weighted average" },
  },

  /** One pass. */
  async merge(job) {
    const { samples, eta_g } = job.values;
    const total = samples.reduce((a, b) => a + b, 0);
    if (total === 0) throw new UserError(`${job.name}: the samples sum to 0`, "give the number of samples per client");
    await addTaskVectors(
      job,
      samples.map((n) => ({ plain: (eta_g * n) / total })),
    );
  },
});
