/** What papers and other tools call methods: mergekit, TRL, transformers, OpenUnlearning, lm-evaluation-harness. */
import type { Kind } from "./kinds.ts";

/** By kind: our name of each, in kebab case. */
const SYNONYMS: Partial<Record<Kind, Readonly<Record<string, string>>>> = {
  merge: {
    average: "linear",
    avg: "linear",
    mean: "linear",
    uniform: "linear",
    soup: "linear",
    "model-soup": "linear",
    "model-soups": "linear",
    lerp: "linear",
    "task-vectors": "task-arithmetic",
  },
  unlearn: {
    ga: "grad-ascent",
    "gradient-ascent": "grad-ascent",
    gd: "grad-diff",
    "gradient-difference": "grad-diff",
    kl: "kl-min",
  },
  distill: {
    kl: "kd",
    kld: "kd",
    "kl-div": "kd",
    "forward-kl": "kd",
    fkl: "kd",
    logits: "kd",
    "soft-labels": "kd",
  },
  optimizer: {
    adam: "adamw",
    "adamw-torch": "adamw",
    "adamw-torch-fused": "adamw",
    "adamw-hf": "adamw",
    "adamw-8bit": "adamw",
  },
  schedule: {
    "cosine-with-warmup": "cosine",
    "linear-with-warmup": "linear",
    "constant-with-warmup": "constant",
    "warmup-stable-decay": "wsd",
  },
  metric: {
    ppl: "perplexity",
    acc: "accuracy",
    em: "exact-match",
    nll: "loss",
    "cross-entropy": "loss",
    rouge: "rouge-l",
    "min-k": "mia-min-k",
  },
};

/** The method of a kind that a name means elsewhere, if it is among the known ones. */
export function methodMeantBy(kind: string, typed: string, known: readonly string[]): string | undefined {
  const table = Object.hasOwn(SYNONYMS, kind) ? SYNONYMS[kind as Kind]! : {};
  const plain = typed.toLowerCase().replaceAll("_", "-");
  const name = Object.hasOwn(table, plain) ? table[plain] : undefined;
  return name !== undefined && known.includes(name) ? name : undefined;
}
