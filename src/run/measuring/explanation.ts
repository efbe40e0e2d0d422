/** What `evaluate --help --metric NAME` says of a metric beside its line. */
import type { Task } from "../../model/architecture.ts";
import type { Better } from "../evaluation/row.ts";
import type { Need } from "../scoring/scored-row.ts";

/** What a metric says of itself. */
export interface Explained {
  readonly name: string;
  readonly cite: string;
  readonly formula: string;
  readonly reads: string;
  readonly range: readonly [number, number];
  readonly better: Better;
  readonly task?: Task;
  readonly needs?: Need | readonly Need[];
  readonly roles?: readonly string[];
  readonly across?: boolean;
  readonly gold?: "required" | "used";
  /** A command that measures it; made from the rest when left out. */
  readonly example?: string;
}

function rangeText([least, most]: readonly [number, number]): string {
  if (!Number.isFinite(least)) return `up to ${most}`;
  return Number.isFinite(most) ? `${least} to ${most}` : `${least} and more`;
}

/** "lower is better" */
export function betterText(better: Better): string {
  if (better === "none") return "neither end is better by itself";
  return typeof better === "number" ? `nearest to ${better} is best` : `${better} is better`;
}

/** A command that measures it, on files named after what they hold. */
export function exampleOf({ name, task, needs = [], roles, across, gold, example }: Explained): string {
  if (example !== undefined) return example;
  const files = [needs].flat().includes("choice")
    ? ["questions.jsonl"]
    : task === "classifier"
      ? ["classes.jsonl"]
      : task === "embedder"
        ? ["pairs.jsonl"]
        : [...(roles ?? []), ...(across && [needs].flat().includes("options") ? ["retain"] : [])].map(
            (group) => `${group}.jsonl`,
          );
  const data = (files.length > 0 ? files : ["rows.jsonl"]).map((file) => `--data ${file}`).join(" ");
  return `bun run evaluate ${task === "classifier" ? "classifier/" : task === "embedder" ? "encoder/" : "model/"} ${gold ? "--gold retrained/ " : ""}${data} --metric ${name}`;
}

/** Labels and texts. */
export const explanationOf = (metric: Explained): (readonly [string, string])[] => [
  ["formula", metric.formula],
  ["range", `${rangeText(metric.range)}; ${betterText(metric.better)}`],
  ["reads", metric.reads],
  ["source", metric.cite],
  ["example", exampleOf(metric)],
];
