/** The sub-commands of `merge` that make and unmake mixtures of experts, as the script declares them. */
import { command } from "../../cli/commands.ts";
import { MOE } from "../experts/options.ts";

export const EXPERT_COMMANDS = {
  moe: command({
    about: "Build a mixture of experts of dense models, or of copies of one.",
    args: "[...models or one recipe.yml]",
    examples: [
      "bun run merge moe experts.yml -o mixture/",
      "bun run merge moe base/ --experts 8 --noise 0.01 -o upcycled/",
      "bun run merge moe base/ --experts 8 --gate-mode centroid --calib rows.jsonl -o clustered/",
      "bun run merge moe base/ math/ code/ --gate-mode random --architecture mixtral -o drawn/",
    ],
    output: "checkpoint",
    options: MOE,
    essentials: [
      ...["experts", "experts_per_token", "gate_mode", "gate_input", "noise", "shared", "architecture", "calib"],
      ...["dtype", "allow_identical"],
    ],
    notes: `A recipe is mergekit-moe's: base_model, gate_mode (hidden, hidden_last, hidden_avg, cheap_embed, random, uniform_random),
experts_per_token, experts of source_model, positive_prompts and negative_prompts, shared_experts. Attention, norms and embeddings are the
base's. Weights of a token's experts sum to one, so equal experts compute what the dense model does.`,
    run: async (context) => (await import("./moe.ts")).mergeMoe(context),
  }),
} as const;
