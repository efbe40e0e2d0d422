/** The sub-command of `merge` that learns how two classifiers are mixed, as the script declares it. */
import { command } from "../../cli/commands.ts";
import { GATE } from "./gate-options.ts";

export const GATE_COMMANDS = {
  gate: command({
    about: "Train a gate that weighs an accurate and a robust classifier for every input.",
    args: "<accurate> <robust>",
    examples: [
      "bun run merge gate plain/ hardened/ --data blobs.jsonl -o gate.safetensors",
      "bun run evaluate plain/ --with hardened/ --mix-gate gate.safetensors --data blobs.jsonl --attack pgd",
    ],
    output: "checkpoint",
    options: GATE,
    essentials: ["data", "least", "span", "steps", "lr", "pgd_epsilon", "pgd_norm"],
    notes: `The robust model's weight is least + span sigmoid(scale gamma + bias), gamma of two layers over what both models hold after
their first block. Both models stay as they are; rows are shown as they are and moved against the mixture, gate included.`,
    run: async (context) => (await import("./gate.ts")).mergeGate(context),
  }),
} as const;
