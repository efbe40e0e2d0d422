/**
 * DPO of one's own answers: the best and the worst of those to a prompt, by reward, are its pair. Guo et al. 2024,
 * https://arxiv.org/abs/2402.04792
 *
 * Prompts whose answers are all worth the same have no pair. With more than two answers the pair is the one that is
 * furthest apart.
 */
import { UserError } from "../../../errors.ts";
import { logSigmoid, mul, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import { groupsIn } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";
import { extremes, pairsOf } from "../../policies/pair-term.ts";

const PAIRS = "the loss is one of pairs";

export const method = definePolicy({
  name: "online-dpo",
  title: "Online DPO",
  about: "DPO of the best and the worst of the answers that the model gives to a prompt",
  cite: "arXiv:2402.04792",
  laws: { ...EVERY_POLICY_LAW, policyGradient: PAIRS, clipped: PAIRS },
  options: {
    beta: { type: "number > 0", default: 0.1, help: "how firmly the model is held to its reference", value: "BETA" },
  },
  defaults: { group: 2 },
  check({ group, aggregate, mask_truncated: masks }) {
    if (group < 2) throw new UserError("online-dpo compares answers to one prompt, and --group 1 is one", "give 2");
    if (aggregate !== "seq-mean")
      throw new UserError(`online-dpo is a mean over pairs, not --aggregate ${aggregate}`, "leave it out");
    if (masks)
      throw new UserError("--mask-truncated would leave half a pair", "let a reward judge answers that are cut");
  },
  choice: { most: () => 2, of: ({ rewards, group }) => groupsIn(rewards, group).map(extremes) },
  advantages: pairsOf,
  pairs(rec, { logProbs, reference, values: { beta } }) {
    const [rows] = logProbs.shape as [number];
    const gains = rec.reshape(rowSum(rec, sub(rec, logProbs, reference)), [rows / 2, 2]);
    const margins = rowSum(rec, mul(rec, gains, rec.constant(Float32Array.of(1, -1), [1, 2], "signs")));
    return { losses: neg(rec, logSigmoid(rec, scale(rec, margins, beta))), margins };
  },
});
