/**
 * A planner among workers: DPO of two ways in which it went about one task, of which the planner's own messages count
 * and what workers say is context. OWL: Optimized Workforce Learning for General Multi-Agent Assistance in Real-World
 * Task Automation, 2025, https://arxiv.org/abs/2505.23885
 *
 * Messages of other roles than the assistant's never count; where several assistants speak, --planner names the one
 * that is trained. What both ways have in common cancels out.
 */
import { definePreference } from "../../preferences/contract.ts";
import { dpoLoss } from "../../preferences/dpo-loss.ts";
import { DPO } from "../../preferences/dpo-options.ts";

export const method = definePreference({
  name: "planner",
  title: "Planner among workers",
  about: "DPO of conversations, of which the planner's messages count and those of workers are context",
  cite: "arXiv:2505.23885",
  reference: true,
  pairLosses: [{ name: "sigmoid", weight: 1 }],
  options: {
    ...DPO,
    planner: {
      type: "string",
      help: "name of the assistant whose messages count; those without a name when left out",
      value: "NAME",
    },
  },
  speaks: ({ planner }, { fields }) => fields?.name === planner,
  loss: (rec, given) => dpoLoss(rec, given),
});
