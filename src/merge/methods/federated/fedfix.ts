/**
 * FedFix: aggregation weights that make asynchronous rounds converge to the wanted objective.
 *
 * Fraboni et al., JMLR 2023, https://arxiv.org/abs/2206.10189: base + eta_g sum_k d_k (x_k - start_k) over the clients
 * that have arrived. A client that needs tau_k of time and should count p_k gets, by `rule`,
 *   sync     d_k = p_k
 *   fedfix   d_k = ceil(tau_k / interval) p_k          (aggregation at fixed intervals)
 *   async    d_k = p_k tau_k sum_j 1 / tau_j           (one arrival per aggregation)
 *   fedbuff  d_k = p_k / rate_k                        (rate: share of aggregations that contain the client)
 * The sum over j goes over the models given; for a round in which not all clients arrive, give it as `inverse_times`.
 */
import { UserError } from "../../../errors.ts";
import { fedfixWeights } from "../../../run/among/rules/participation.ts";
import { mergeMethod } from "../../contract.ts";
import { applyClientUpdates, openStarts, startOption } from "../../updates/client-updates.ts";

export const method = mergeMethod({
  name: "fedfix",
  title: "FedFix",
  about: "client updates weighted without bias for clients of different speed",
  cite: "arXiv:2206.10189",
  laws: {
    equalInputs: true,
    equalModels: "weighs a client by the intervals that its update took",
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    rule: { type: "'sync' | 'fedfix' | 'async' | 'fedbuff'", default: "fedfix", help: "when the server aggregates" },
    importance: { type: "number >= 0", per: "model", help: "wanted share of the client (1/K)" },
    time: { type: "number > 0", per: "model", default: 1, help: "time that the client needs for an update" },
    rate: {
      type: "0 < number <= 1",
      per: "model",
      default: 1,
      help: "share of aggregations with this client (fedbuff)",
    },
    interval: { type: "number > 0", default: 0.5, help: "time between aggregations (fedfix)" },
    inverse_times: { type: "number > 0", help: "sum of 1/time over all clients, if some are not given (async)" },
    eta_g: { type: "number", default: 1, help: "the server's rate" },
    ...startOption,
  },

  survey: openStarts,

  /** One pass over models and starts. */
  async merge(job) {
    const { values } = job;
    const given = values.importance.filter((p) => p !== undefined);
    if (given.length !== 0 && given.length !== job.count) {
      throw new UserError(`${job.name}: some clients have an importance and some have none`, "give it for all or none");
    }
    const importance = given.length > 0 ? given : values.time.map(() => 1 / job.count);
    const weights = fedfixWeights({ ...values, importance, inverseTimes: values.inverse_times });
    await applyClientUpdates(
      job,
      weights.map((d) => values.eta_g * d),
    );
  },
});
