/**
 * Memory aware synapses: weights to which the outputs are sensitive are held to where they were; no label is read.
 *
 *   Omega_i <- gamma Omega_i + mean over rows |d |z|^2 / d theta_i|,  z the logits
 *
 * Aljundi et al., ECCV 2018, https://arxiv.org/abs/1711.09601
 */
import { measureImportance } from "../../../run/fisher/importance.ts";
import { continualMethod } from "../../continual/contract.ts";
import { MEASURED, measuredRows, penaltyLearner } from "../../continual/penalty.ts";

export const method = continualMethod({
  name: "mas",
  title: "Memory aware synapses",
  about: "a penalty on the way from the weights before, each weighed by how the outputs' length hangs on it",
  cite: "arXiv:1711.09601",
  options: {
    lambda: { type: "number >= 0", default: 1, help: "weight of lambda / 2 sum Omega (theta - theta*)^2" },
    ...MEASURED,
  },
  begin(stream) {
    const { model, values, signal } = stream;
    return penaltyLearner(stream, {
      name: "mas",
      lambda: values.lambda,
      async gather(anchor, stage) {
        const found = await measureImportance(model, measuredRows(stream, stage), { labelFree: true, signal });
        await anchor.add((parameter) => found.of.get(parameter)!.buffer, values.gamma);
        found.free();
      },
    });
  },
});
