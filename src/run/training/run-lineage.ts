/** What lineage records of a run: its options that differ from the defaults (the version says which these are). */
import { lineageOf, type Read } from "../../checkpoint/lineage/input.ts";
import type { RunContext, Technique } from "./technique.ts";

/** The lineage of a run's result. `others` are inputs that are no checkpoints. */
export function runLineage(
  context: RunContext,
  { script, method }: Pick<Technique<never>, "script" | "method">,
  {
    read,
    others,
    steps,
  }: {
    readonly read: readonly Read[];
    readonly others: Parameters<typeof lineageOf>[3];
    /** Undefined of several trainings: their options say how long they are. */
    readonly steps?: number | undefined;
  },
) {
  const without = new Set([...read.map(({ role }) => role), "init", ...(steps === undefined ? [] : ["epochs"])]);
  const options = Object.fromEntries(Object.entries(context.chosen).filter(([name]) => !without.has(name)));
  const step = {
    script,
    version: context.version,
    ...(method && { method }),
    // With --patience, how often the run is evaluated says where it ends.
    options: {
      ...options,
      ...(options.patience === undefined ? {} : { eval_every: context.options.eval_every }),
      ...(steps === undefined ? {} : { steps }),
    },
    seed: context.seed,
  };
  return lineageOf(step, read, (message) => context.warn(message), others);
}
