/**
 * Meta-DMoE at test time: one step towards what experts of other domains see in the batch, by an aggregator that was
 * trained so that the step helps (`distill --method meta-dmoe`); then the batch is answered. Every batch begins at the
 * student as it was trained, so that nothing is learnt from one to the next.
 *
 * Zhong et al., NeurIPS 2022, https://arxiv.org/abs/2210.03885
 */
import { UserError } from "../../../errors.ts";
import { heldValues } from "../../../model/adapters/held-values.ts";
import { testTimeMethod } from "../../../run/test-time/contract.ts";
import { aggregated } from "../../../run/twice/aggregator.ts";
import { readAggregator } from "../../../run/twice/aggregator-file.ts";
import { checkExperts } from "../../../run/twice/experts-fit.ts";
import { networkOf } from "../../../run/twice/network.ts";
import { oneStep } from "../../../run/twice/one-step.ts";
import { openNetwork } from "../../../run/twice/opened-network.ts";
import { constant, type Value } from "../../../tensor/twice/value.ts";

export const method = testTimeMethod({
  name: "meta-dmoe",
  title: "Meta-DMoE",
  about: "a step towards what experts of other domains see in the batch, before it is answered",
  cite: "arXiv:2210.03885",
  options: {
    meta_aggregator: {
      type: "string",
      help: "what distill --method meta-dmoe wrote beside the student",
      value: "FILE",
    },
    meta_experts: { type: "string[]", help: "the experts that it was trained with, in any order", value: "MODEL" },
    meta_lr: { type: "number >= 0", help: "rate of the step; the aggregator's own when left out", value: "RATE" },
  },
  trains: "none",
  check({ meta_aggregator: aggregator, meta_experts: experts = [] }) {
    if (aggregator === undefined || experts.length === 0)
      throw new UserError(
        "meta-dmoe takes an aggregator and the experts that it sums up",
        "give --meta-aggregator FILE and --meta-experts a/ --meta-experts b/",
      );
  },
  async begin({ gpu, model, values }) {
    const network = networkOf(model, "the model", "meta-dmoe");
    const weights = new Map<string, Value>();
    for (const { name, shape } of network.specs)
      weights.set(name, constant(Float64Array.from(await heldValues(gpu, model.parameters.get(name)!)), shape));
    const { form, weights: own, rate } = await readAggregator(values.meta_aggregator!);
    const experts = await Promise.all(values.meta_experts!.map((ref) => openNetwork(ref, "meta-dmoe")));
    checkExperts(network, experts, form);
    return {
      async predict({ rows }) {
        const numbers = new Float64Array(rows.length * network.inputs);
        for (const [i, row] of rows.entries()) if ("x" in row) numbers.set(row.x, i * network.inputs);
        const x = constant(numbers, [rows.length, network.inputs]);
        const target = aggregated(
          own,
          form,
          experts.map((expert) => expert.network.features(expert.weights, x)),
        );
        const moved = oneStep(network, weights, { x, target, rate: values.meta_lr ?? rate, firstOrder: true });
        return { scores: Float32Array.from(network.logits(moved, x).data) };
      },
      reset() {},
    };
  },
});
