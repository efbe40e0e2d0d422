/** `curriculum graph`: measures how groups help each other by short runs, and writes the graph as JSON. */

import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { loadExamples, loadSequences } from "../../data/dataset.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { describeModel } from "../../run/open-model.ts";
import { HeldOut, readHeldOut } from "../../run/training/held-out.ts";
import { choose } from "../../run/training/optimizer-and-schedule.ts";
import { type Start, start } from "../../run/training/starting-model.ts";
import { humanBytes } from "../../text/format.ts";
import { readRows } from "../command.ts";
import { approximateGraph, exactGraph, handGraph } from "../graph.ts";
import { measureRuns } from "../graph-runs.ts";
import { checkHeldOut, checkHeldOutNames } from "../losses.ts";
import { curriculumObjective } from "../objective.ts";
import type { GRAPH } from "../options.ts";
import type { Rows } from "../source.ts";

type GraphContext = Context<typeof GRAPH>;

/** Bytes of a checkpoint's tensors as they are stored; 0 for a model made afresh. */
export const storedBytes = ({ read }: Start): number =>
  read.reduce(
    (sum, { checkpoint }) => sum + [...checkpoint.tensors.values()].reduce((all, { bytes }) => all + bytes, 0),
    0,
  );

interface Measured {
  readonly groups: readonly string[];
  readonly graph: readonly (readonly number[])[];
  /** Held-out losses before any run, and after each of the runs on one group. */
  readonly start?: readonly number[];
  readonly after?: readonly (readonly number[])[];
}

export async function graph(context: GraphContext): Promise<Outcome> {
  const { options, seed, signal } = context;
  const groups = groupsOf(options.data, "--data");
  const evaluated = options.eval_data ? groupsOf(options.eval_data, "--eval-data") : [];
  const result = textResult(
    context,
    [...groups, ...evaluated].map(({ path }) => path),
  );
  const give = (value: Measured, told: Record<string, unknown>): Outcome => {
    context.log.event("result", { value });
    return result(JSON.stringify(value, null, 2), { groups: value.groups, ...told });
  };
  if (options.edges) {
    const names = groups.map(({ name }) => name);
    const edges = options.edges.flatMap((text) => text.split(","));
    return give({ groups: names, graph: handGraph(names, edges) }, { edges: edges.length });
  }
  const begun = await start({
    ...options,
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    init: options.init,
    seed,
    warn: (text) => context.warn(text),
  });
  context.onExit(() => begun.close());
  const { sizes, tools } = await describeModel(begun, options, (text) => context.warn(text));
  const rows = await readRows(context, { tools, sizes });
  const k = rows.names.length;
  if (k < 2) throw new UserError("a graph needs two groups or more", "give --data name=path for each");
  checkHeldOutNames(evaluated, rows.names, "a graph");
  const choices = choose(context.picks, options.lr);
  choices.rate(1, options.graph_steps); // refuses a schedule that does not fit before any work
  const one = (i: number, j: number) => rows.names.map((_, g) => (g === i || g === j ? (i === j ? 1 : 0.5) : 0));
  const singles = rows.names.map((_, i) => one(i, i));
  const pairs = options.exact
    ? rows.names.flatMap((_, i) => rows.names.flatMap((__, j) => (j > i ? [[i, j] as const] : [])))
    : [];
  const mixtures = [...singles, ...pairs.map(([i, j]) => one(i, j))];
  const told = { runs: mixtures.length, steps_per_run: options.graph_steps };
  if (context.dryRun) {
    const held = tools
      ? (await loadSequences(evaluated, tools.encode)).sequences.length
      : (await loadExamples(evaluated)).length;
    return describe(context, rows, { ...told, held_out_rows: held, weights: storedBytes(begun) });
  }
  const gpu = await openGpu({ device: context.device });
  const model = await begun.load(gpu);
  const held = new HeldOut(model, await readHeldOut(options.eval_data, { tools, sizes }, options.batch_size));
  checkHeldOut(held, rows.names, "a graph");
  const objective = curriculumObjective({
    model,
    names: rows.names,
    taskLoss: options.task_loss ?? "token-mean",
    sampleWeight: "uniform",
    focus: options.focus,
    recompute: options.recompute,
    groupWeights: () => undefined,
  });
  context.progress.start({ total: mixtures.length, unit: "runs" });
  const { start: first, after } = await measureRuns(
    {
      ref: begun.ref,
      rows,
      held,
      batchSize: options.batch_size,
      training: {
        model,
        objective,
        steps: options.graph_steps,
        rate: (step) => choices.rate(step, options.graph_steps),
        seed,
        optimizer: choices.optimizer,
        decays: ({ shape }) => options.decay_all || shape.length > 1,
        clip: options.clip,
        stateDtype: options.state_dtype,
      },
      signal,
      done: () => context.progress.advance(1),
    },
    mixtures,
  );
  context.progress.done();
  await held.free();
  const alone = rows.names.map((_, j) => after[j]![j]!);
  const together = rows.names.map((_, i) =>
    rows.names.map((__, j) => {
      if (i === j) return alone[j]!;
      const at = pairs.findIndex(([a, b]) => (a === i && b === j) || (a === j && b === i));
      return after[k + at]?.[j] ?? Number.NaN;
    }),
  );
  const matrix = options.exact ? exactGraph(first, alone, together) : approximateGraph(first, after);
  return give({ groups: rows.names, graph: matrix, start: first, after: after.slice(0, k) }, told);
}

/** What it would do, for --dry-run. */
function describe(
  context: GraphContext,
  rows: Rows,
  plan: { runs: number; steps_per_run: number; held_out_rows: number; weights: number },
): Outcome {
  const { batch_size } = context.options;
  const count = (n: number) => n.toLocaleString("en-US");
  const steps = plan.runs * plan.steps_per_run;
  context.print(
    [
      `data: ${rows.counts.map(({ name, rows, tokens }) => `${name} ${count(rows)} rows, ${count(tokens)} tokens`).join("; ")}`,
      `${plan.runs} runs of ${count(plan.steps_per_run)} steps of ${batch_size} rows: ${count(steps)} steps`,
      `${plan.runs + 1} evaluations on ${count(plan.held_out_rows)} held-out rows`,
      ...(plan.weights > 0 ? [`weights: ${humanBytes(plan.weights)} as stored`] : []),
    ].join("\n"),
  );
  context.json({ groups: rows.counts, ...plan, steps, batch_size });
  return {};
}
