/**
 * Off-policy learning: a policy that would have brought most on logged decisions, as inverse propensities, a model of
 * rewards, or both (doubly robust) estimate it. Weights of rows are cut at a bound; entropy and the spread of the
 * estimate (counterfactual risk minimisation, Swaminathan and Joachims 2015, https://arxiv.org/abs/1502.02362) may be
 * weighed in. Several rewards trade off as in ad-load balancing: https://arxiv.org/abs/2309.11518
 */
import { add, addScalar, clamp, mul, neg, scale, sqrt, square, sub } from "../../../tensor/ops/elementwise.ts";
import { mean, rowSum } from "../../../tensor/ops/reduce.ts";
import { defineLogged } from "../../logged/contract.ts";

export const method = defineLogged({
  name: "opl",
  title: "Off-policy learning",
  about: "a policy of actions from logged decisions with their probabilities and rewards",
  cite: "arXiv:2309.11518",
  options: {
    opl_estimator: {
      type: "'dr' | 'ips' | 'dm'",
      default: "dr",
      help: "what estimates the policy: doubly robust, inverse propensities, or the model of rewards alone",
    },
    opl_clip: { type: "number > 0", default: 10, help: "largest weight of a row", value: "C" },
    opl_entropy: { type: "number >= 0", default: 0, help: "weight of the policy's entropy", value: "W" },
    opl_variance: { type: "number >= 0", default: 0, help: "weight of the estimate's standard error", value: "W" },
  },
  value(rec, { probabilities, logs, inverse, reward, taken, expected, expectedTaken, values }) {
    const { opl_estimator: estimator, opl_clip: clip, opl_entropy: entropy, opl_variance: variance } = values;
    const weights = clamp(rec, mul(rec, taken, inverse), 0, clip);
    const model = () => rowSum(rec, mul(rec, probabilities, expected));
    const estimate =
      estimator === "dm"
        ? model()
        : estimator === "ips"
          ? mul(rec, weights, reward)
          : add(rec, model(), mul(rec, weights, sub(rec, reward, expectedTaken)));
    const surprise = neg(rec, rowSum(rec, mul(rec, probabilities, logs)));
    const whole = entropy === 0 ? estimate : add(rec, estimate, scale(rec, surprise, entropy));
    if (variance === 0) return { values: whole };
    const spread = sub(rec, mean(rec, square(rec, estimate)), square(rec, mean(rec, estimate)));
    const error = sqrt(rec, addScalar(rec, scale(rec, spread, 1 / estimate.shape[0]!), 1e-12));
    return { values: whole, penalties: { standard_error: scale(rec, error, variance) } };
  },
});
