/** GRPO whose loss is a mean over the tokens of a micro-batch. Definition of TRL: https://github.com/huggingface/trl */
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "bnpo",
  title: "Batch-normalised GRPO",
  about: "GRPO whose loss is a mean over the tokens of a micro-batch",
  cite: "https://github.com/huggingface/trl",
  laws: EVERY_POLICY_LAW,
  options: {},
  defaults: { aggregate: "token-mean" },
});
