/**
 * TOFU: questions about invented authors. Files of locuslab/TOFU: forget10_perturbed, retain_perturbed,
 * real_authors_perturbed, world_facts_perturbed, holdout10. Maini et al. 2024, https://arxiv.org/abs/2401.06121; the
 * columns are OpenUnlearning's, https://arxiv.org/abs/2506.12618
 */
import type { Benchmark } from "./contract.ts";

/** Names of a split's file. */
const splits = (name: string, split: string | undefined, ending = ""): string[] =>
  (split === undefined ? ["10", "05", "01"] : [split]).map((each) => `${name}${each}${ending}`);

export const tofu: Benchmark = {
  title: "TOFU",
  about: "questions about invented authors",
  cite: "arXiv:2401.06121",
  passes: async ({ split }) => [
    {
      groups: [
        { name: "forget", files: [...splits("forget", split, "_perturbed"), "forget_perturbed", "forget"] },
        { name: "holdout", files: [...splits("holdout", split), "holdout"], optional: true },
        { name: "retain", files: ["retain_perturbed", "retain"] },
        { name: "real", files: ["real_authors_perturbed", "real_authors", "real"], optional: true },
        { name: "world", files: ["world_facts_perturbed", "world_facts", "world"], optional: true },
      ],
      metrics: [
        "forget-quality",
        "model-utility",
        "truth-ratio",
        "privleak",
        "extraction-strength",
        "exact-memorisation",
        "probability",
        "rouge-l",
      ],
      maxTokens: 200,
    },
  ],
  columns: [
    { heading: "forget quality", metric: "forget-quality", group: "all" },
    { heading: "D", metric: "forget-quality D", group: "all" },
    { heading: "n", metric: "forget-quality n", group: "all" },
    { heading: "utility", metric: "model-utility", group: "all", logged: "model_utility" },
    { heading: "truth ratio", metric: "truth-ratio", group: "forget", logged: "forget_truth_ratio" },
    { heading: "PrivLeak", metric: "privleak", group: "all", logged: "privleak" },
    { heading: "ES", metric: "extraction-strength", group: "forget", logged: "extraction_strength" },
    { heading: "EM", metric: "exact-memorisation", group: "forget", logged: "exact_memorization" },
    { heading: "prob.", metric: "probability", group: "forget", logged: "forget_Q_A_Prob" },
    { heading: "ROUGE-L", metric: "rouge-l", group: "forget", logged: "forget_Q_A_ROUGE" },
  ].map((column) => ({ pass: 0, ...column })),
};
