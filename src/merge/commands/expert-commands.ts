/** The sub-commands of `merge` that make and unmake mixtures of experts, as the script declares them. */
import { command } from "../../cli/commands.ts";
import { DENSE, MOE, MSMOE } from "../experts/options.ts";

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
  msmoe: command({
    about: "Merge the experts of a mixture into fewer (M-SMoE).",
    args: "[model]",
    examples: [
      "bun run merge msmoe mixture/ --groups 1 --calib rows.jsonl -o fewer/",
      "bun run merge msmoe mixture/ --groups 1 --similarity router-rows --calib rows.jsonl -o one/",
    ],
    output: "checkpoint",
    options: MSMOE,
    notes: `The most used experts of a layer lead, the others join the leader whose router logits are most like theirs. Neurons are put into
the leader's order, weights and router rows are averaged by use. Every layer keeps as many experts: a config counts them once.`,
    run: async (context) => (await import("./msmoe.ts")).mergeExperts(context),
  }),
  dense: command({
    about: "Make a dense model of a mixture's experts.",
    args: "[model]",
    examples: [
      "bun run merge dense mixture/ -o averaged/",
      "bun run merge dense mixture/ --take most-used --calib rows.jsonl -o busiest/",
    ],
    output: "checkpoint",
    options: DENSE,
    run: async (context) => (await import("./dense.ts")).mergeDense(context),
  }),
} as const;
