/** Causal tracing of the rows to forget, for methods that train where the model holds them. */
import { groupsOf } from "../data/groups.ts";
import { causalTrace, type Effects, TRACE } from "../run/tracing/causal-trace.ts";
import { drawFacts, loadFacts } from "../run/tracing/facts.ts";
import type { Loaded } from "../run/training/technique.ts";
import type { Trace } from "./contract.ts";
import type { UnlearnRun } from "./run.ts";

/** Most rows that are traced. */
const TRACED = 32;

/**
 * Patterns of the weights that `choose` picks by tracing the rows to forget through the model as it was. Throws
 * UserError for rows without a prompt.
 */
export async function tracedWeights(
  { options, seed, signal, progress, info }: UnlearnRun,
  choose: (trace: Trace) => Promise<readonly string[]>,
  { model, tools }: Loaded,
): Promise<readonly string[]> {
  const groups = groupsOf(options.forget, "--forget", options.columns);
  let rows = 0;
  const trace = async (): Promise<Effects> => {
    const facts = (await Promise.all(groups.map((group) => loadFacts(group, tools!.encode)))).flat();
    const drawn = drawFacts(facts, TRACED, seed);
    rows = drawn.length;
    progress.start({ total: rows, unit: "rows" });
    const done = () => progress.advance(1);
    const effects = await causalTrace(model, drawn, { ...TRACE, all: false, seed, signal, done });
    progress.done();
    return effects;
  };
  const patterns = await choose(trace);
  const blocks = new Set(patterns.map((name) => /\.(\d+)\./.exec(name)?.[1]));
  info(`traced ${rows} rows; training block ${[...blocks].join(", ")}`);
  return patterns;
}
