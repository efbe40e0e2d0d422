/**
 * Length-unbiased sequence policy optimization: GSPO's loss of an answer times its length, so that long answers do not
 * count less by the token. Definition of TRL: https://github.com/huggingface/trl
 */
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "luspo",
  title: "Length-unbiased sequence policy optimization",
  about: "GSPO whose answers count by their length",
  cite: "https://github.com/huggingface/trl",
  laws: EVERY_POLICY_LAW,
  options: {},
  defaults: { ratio: "sequence", clip_low: 3e-4, clip_high: 4e-4, aggregate: "seq-sum" },
});
