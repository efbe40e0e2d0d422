/** What lineage and a saved state record of a run: the options that decide its result. */
import { lineageOf, type Read } from "../../checkpoint/lineage/input.ts";
import type { RunContext, Technique } from "./technique.ts";

/** Options that say how to run, not what comes out: a resumed run may change them. */
const RUNNING = [
  "profile",
  "resume",
  "state",
  "save_every",
  "log_every",
  "best",
  "shards",
  "eval_every",
  "recompute",
  "out_dtype",
];

/** Options that every script has; none decides a result. The seed is recorded separately. */
const COMMON = [
  "help",
  "version",
  "list",
  "set",
  "quiet",
  "verbose",
  "log",
  "out",
  "json",
  "dry_run",
  "device",
  "config",
  "yes",
  "method",
  "seed",
];

/** The options that decide the result, with which alone a run resumes. */
export function decisiveOptions({
  options,
  settings,
}: Pick<RunContext, "options" | "settings">): Record<string, unknown> {
  const without = new Set([...RUNNING, ...COMMON]);
  return Object.fromEntries(
    Object.entries({ ...options, ...settings }).filter(([name, value]) => value !== undefined && !without.has(name)),
  );
}

/**
 * Options as lineage has them: those that decide the result and differ from the defaults (the version says which
 * these are).
 */
export function lineageOptions(
  { chosen }: Pick<RunContext, "chosen">,
  inputs: Iterable<string> = [],
): Record<string, unknown> {
  const without = new Set([...RUNNING, ...inputs].filter((name) => name !== "out_dtype"));
  return Object.fromEntries(Object.entries(chosen).filter(([name]) => !without.has(name)));
}

/** The lineage of a run's result. `others` are inputs that are no checkpoints. */
export function runLineage(
  context: RunContext,
  { script, method }: Pick<Technique<never>, "script" | "method">,
  {
    read,
    others,
    steps,
  }: { readonly read: readonly Read[]; readonly others: Parameters<typeof lineageOf>[2]; readonly steps: number },
) {
  const options = lineageOptions(context, [...read.map(({ role }) => role), "init", "epochs"]);
  const step = {
    script,
    version: context.version,
    ...(method && { method }),
    options: { ...options, steps },
    seed: context.seed,
  };
  return lineageOf(step, read, others);
}
