/** Options of how a training uses the experts of a mixture. */
import type { Options } from "../../../method/options.ts";

export const EXPERTS = {
  moe_balance: {
    type: "'global' | 'micro' | 'sequence' | 'bias' | 'none'",
    help: "keep the experts of a mixture evenly used: by a loss over the counts of the whole step, of each micro-batch or of each row, or by a bias of the choice without a loss; as config.json asks when left out",
  },
  moe_balance_coef: {
    type: "number >= 0",
    with: { moe_balance: ["global", "micro", "sequence", "bias"] },
    help: "weight of that loss in every layer, which is 1 where experts are even; that of config.json, else 0.01, when left out. With bias: of the loss of each row beside it, 0 when left out",
    value: "X",
  },
  router_z_loss: {
    type: "number >= 0",
    default: 0,
    help: "weight in every layer of the squared log of the router's summed exponentials: keeps its logits small",
    value: "X",
  },
  bias_step: {
    type: "string",
    default: "1e-3",
    with: { moe_balance: "bias" },
    help: "how far biases move at step n: U, U/n or U/sqrt-n",
    value: "U",
  },
  bias_rule: {
    type: "'sign' | 'proportional'",
    default: "sign",
    with: { moe_balance: "bias" },
    help: "what biases follow: whether an expert has less than its part, or by how much of it",
  },
  bias_until: {
    type: "0 < number <= 1",
    default: 0.95,
    with: { moe_balance: "bias" },
    help: "share of the steps after which biases stay",
    value: "F",
  },
  expert_start: {
    type: "number[]",
    help: "experts that tokens take in the first layers until --expert-switch, a number for each; then as many as config.json says",
    value: "K",
  },
  expert_layers: {
    type: "string",
    needs: "expert_start",
    help: "the layers of --expert-start, from 0: 0-7, or 0,2-4; the first ones that have experts when left out",
    value: "LAYERS",
  },
  expert_switch: {
    type: "0 < number <= 1",
    default: 0.9,
    needs: "expert_start",
    help: "share of the steps in which --expert-start holds",
    value: "F",
  },
} as const satisfies Options;
