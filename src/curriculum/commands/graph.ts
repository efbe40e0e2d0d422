/** `curriculum graph`: measures how groups help each other by short runs, and writes the graph as JSON. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { groupsOf } from "../../data/groups.ts";
import { heldOutGroups } from "../../run/training/held-out.ts";
import { approximateGraph, exactGraph, handGraph } from "../graph.ts";
import type { GRAPH } from "../options.ts";
import type { ShortRun } from "../short-runs.ts";
import { MixtureSource, type Rows } from "../source.ts";
import { describeRuns, measure, openShortRuns } from "./open-short-runs.ts";

interface Measured {
  readonly groups: readonly string[];
  readonly graph: readonly (readonly number[])[];
  /** Held-out losses before any run, and after each of the runs on one group. */
  readonly start?: readonly number[];
  readonly after?: readonly (readonly number[])[];
}

/** Pairs of groups, each once. */
const pairsOf = (k: number): [number, number][] =>
  Array.from({ length: k }, (_, i) => i).flatMap((i) =>
    Array.from({ length: k - i - 1 }, (_, more): [number, number] => [i, i + 1 + more]),
  );

/** A run on one group, or on two in halves. */
function runOn(
  rows: Rows,
  [i, j]: readonly [number, number],
  given: { batchSize: number; seed: number; steps: number },
): ShortRun {
  const { steps, ...order } = given;
  const source = new MixtureSource(rows, { ...order, shuffle: true });
  source.probs = rows.names.map((_, g) => (g === i || g === j ? (i === j ? 1 : 0.5) : 0));
  return { on: rows.names.filter((_, g) => g === i || g === j).join(" and "), source, steps };
}

/** The exact graph, from the losses after the runs on single groups and, after these, on pairs. */
function exact(start: readonly number[], after: readonly (readonly number[])[], pairs: readonly [number, number][]) {
  const k = start.length;
  const alone = start.map((_, j) => after[j]![j]!);
  const together = start.map((_, i) =>
    start.map((__, j) => {
      if (i === j) return alone[j]!;
      const at = pairs.findIndex(([a, b]) => (a === i && b === j) || (a === j && b === i));
      return after[k + at]?.[j] ?? Number.NaN;
    }),
  );
  return exactGraph(start, alone, together);
}

export async function graph(context: Context<typeof GRAPH>): Promise<Outcome> {
  const { options, seed } = context;
  const groups = groupsOf(options.data, "--data", options.columns);
  const evaluated = heldOutGroups(options, undefined);
  const result = textResult(
    context,
    [...groups, ...evaluated].map(({ path }) => path),
  );
  const give = (value: Measured, facts: Record<string, unknown>): Outcome => {
    context.log.event("result", { value });
    return result(JSON.stringify(value, null, 2), { groups: value.groups, ...facts });
  };
  if (options.edges) {
    const names = groups.map(({ name }) => name);
    const edges = options.edges.flatMap((text) => text.split(","));
    return give({ groups: names, graph: handGraph(names, edges) }, { edges: edges.length });
  }
  const opened = await openShortRuns(context, "a graph");
  const { rows, choices } = opened;
  const steps = options.graph_steps;
  choices.rate(1, steps); // refuses a schedule that does not fit before any work
  const k = rows.names.length;
  const pairs = options.exact ? pairsOf(k) : [];
  const singles = rows.names.map((_, i): [number, number] => [i, i]);
  const facts = { runs: k + pairs.length, steps_per_run: steps };
  if (context.dryRun) {
    const all = facts.runs * steps;
    const lengths = `of ${steps.toLocaleString("en-US")} steps`;
    describeRuns(context, opened, { runs: facts.runs, steps: all, lengths, more: { steps_per_run: steps } });
    return {};
  }
  const given = { batchSize: options.batch_size, seed, steps };
  const { start, after } = await measure(
    context,
    opened,
    [...singles, ...pairs].map((pair) => runOn(rows, pair, given)),
  );
  const matrix = options.exact ? exact(start, after, pairs) : approximateGraph(start, after);
  return give({ groups: rows.names, graph: matrix, start, after: after.slice(0, k) }, facts);
}
