/** `curriculum graph`: measures how groups help each other by short runs, and writes the graph as JSON. */
import type { Outcome } from "../cli/context.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import { architectureOf } from "../model/registry.ts";
import { SlotPool } from "../tensor/slots.ts";
import { choose } from "../train/choices.ts";
import { groupsOf, textTools } from "../train/data-source.ts";
import { HeldOut } from "../train/held-out.ts";
import { start } from "../train/start.ts";
import { type CurriculumContext, readRows } from "./command.ts";
import { approximateGraph, exactGraph, handGraph } from "./graph.ts";
import { measureRuns } from "./graph-runs.ts";
import { checkHeldOut } from "./losses.ts";
import { curriculumObjective } from "./objective.ts";

export async function graph(context: CurriculumContext): Promise<Outcome> {
  const { options, seed, signal } = context;
  if (options.edges) {
    const groups = groupsOf(options.data, "--data").map(({ name }) => name);
    context.print(
      JSON.stringify(
        {
          groups,
          graph: handGraph(
            groups,
            options.edges.flatMap((text) => text.split(",")),
          ),
        },
        null,
        2,
      ),
    );
    return {};
  }
  const begun = await start({
    ...options,
    model: context.args[1] ?? (options.init === undefined ? "-" : undefined),
    init: options.init,
    seed,
    warn: (text) => context.warn(text),
  });
  context.onExit(() => begun.close());
  const where = `${begun.ref}: config.json`;
  const architecture = await architectureOf(begun.json, where);
  const sizes = architecture.sizes(architecture.config(begun.json, where));
  const tools =
    architecture.task === "causal-lm"
      ? await textTools(begun.files, begun.ref, sizes, options, (text) => context.warn(text))
      : undefined;
  const rows = await readRows(context, { tools, sizes });
  const k = rows.names.length;
  if (k < 2) throw new UserError("a graph needs two groups or more", "give --data name=path for each");
  const choices = await choose({ ...options });
  const gpu = await openGpu({ device: context.device });
  const model = await begun.load(gpu);
  const slots = new SlotPool(gpu);
  const held = checkHeldOut(
    await HeldOut.open(model, options.eval_data, tools, options.batch_size, slots),
    rows.names,
    "a graph",
  );
  const objective = curriculumObjective({
    model,
    names: rows.names,
    taskLoss: options.task_loss ?? "token-mean",
    sampleWeight: "uniform",
    focus: options.focus,
    recompute: options.recompute,
    groupWeights: () => undefined,
  });
  const one = (i: number, j: number) => rows.names.map((_, g) => (g === i || g === j ? (i === j ? 1 : 0.5) : 0));
  const singles = rows.names.map((_, i) => one(i, i));
  const pairs = options.exact
    ? rows.names.flatMap((_, i) => rows.names.flatMap((__, j) => (j > i ? [[i, j] as const] : [])))
    : [];
  const mixtures = [...singles, ...pairs.map(([i, j]) => one(i, j))];
  context.progress.start({ total: mixtures.length, unit: "runs" });
  const { start: first, after } = await measureRuns(
    {
      model,
      rows,
      held,
      steps: options.graph_steps,
      batchSize: options.batch_size,
      rate: (step) => choices.rate(step, options.graph_steps),
      trainer: {
        gpu,
        parameters: model.trainable(),
        objective,
        seed,
        optimizer: choices.optimizer,
        values: choices.values,
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
  const alone = rows.names.map((_, j) => after[j]![j]!);
  const together = rows.names.map((_, i) =>
    rows.names.map((__, j) => {
      if (i === j) return alone[j]!;
      const at = pairs.findIndex(([a, b]) => (a === i && b === j) || (a === j && b === i));
      return after[k + at]?.[j] ?? Number.NaN;
    }),
  );
  const matrix = options.exact ? exactGraph(first, alone, together) : approximateGraph(first, after);
  const result = { groups: rows.names, graph: matrix, start: first, after: after.slice(0, k) };
  context.log.event("result", { value: result });
  context.print(JSON.stringify(result, null, 2));
  slots.free();
  return {};
}
