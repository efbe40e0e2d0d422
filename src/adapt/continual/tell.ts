/** What a stream tells on the way, in a dry run, and as JSON. */

import type { MemoryReport } from "../../run/training/memory-report.ts";
import { humanBytes } from "../../text/format.ts";
import type { Stage, TaskScore } from "./contract.ts";
import type { StreamMetrics } from "./report.ts";
import type { StreamRun } from "./stages.ts";
import type { StreamScores } from "./state.ts";

/** Logs the latest row of R, a line for each task, and says it. */
export function tellStage({ context, read, stages }: StreamRun, stage: Stage | undefined, scores: StreamScores): void {
  const row = scores.after.at(-1) ?? scores.before;
  const after = stage?.name ?? null;
  for (const [j, { loss, accuracy, counted }] of row.entries())
    context.log.event("score", {
      stage: stage?.index ?? -1,
      after,
      task: read.tasks[j]!.name,
      loss,
      ...(accuracy === undefined ? {} : { accuracy }),
      n: counted,
    });
  for (const { name, loss } of scores.general.at(-1) ?? [])
    context.log.event("score", { stage: stage?.index ?? -1, after, general: name, loss });
  const said = row.map(({ loss, accuracy }, j) => `${read.tasks[j]!.name} ${(accuracy ?? loss).toFixed(4)}`);
  const what = row[0]!.accuracy === undefined ? "losses" : "accuracies";
  const when = stage ? `${stage.name} (${stage.index + 1} of ${stages.length}) is learnt` : "before the first task";
  context.info(`${when}, ${what}: ${said.join(", ")}`);
}

/** Says where `evaluate` scores the result otherwise than the table does. */
export function tellOtherScores({ context, chosen, learner, read, model, scenario }: StreamRun): void {
  if (learner.classify)
    context.info(`accuracies are of the classes that ${chosen.method.name} gives; evaluate takes those of the head`);
  const seen = new Set(read.tasks.flatMap(({ classes }) => classes)).size;
  const hides = scenario === "task" ? read.tasks.some(({ classes }) => classes.length < model.sizes.outputs) : false;
  if (hides || (scenario === "class" && seen < model.sizes.outputs))
    context.info(`the table is of --scenario ${scenario}, which hides classes; evaluate lets all take part`);
}

const column = (rows: readonly (readonly TaskScore[])[], name: "loss" | "accuracy") =>
  rows.map((row) => row.map((score) => score[name]));

/** The whole result for machines. */
export function streamResult(
  { chosen, read, stages, model, learner, scenario }: StreamRun,
  scores: StreamScores,
  metrics: StreamMetrics,
  steps: number,
) {
  const kept = learner.memoryRows?.();
  const hasAccuracy = metrics.accuracy !== undefined;
  const both = (rows: readonly (readonly TaskScore[])[]) => ({
    loss: column(rows, "loss"),
    ...(hasAccuracy ? { accuracy: column(rows, "accuracy") } : {}),
  });
  return {
    method: chosen.method.name,
    scenario,
    tasks: read.tasks.map(({ name, rows, classes }) => ({ name, rows, ...(classes.length > 0 ? { classes } : {}) })),
    stages: stages.map(({ name }) => name),
    before: both([scores.before]),
    after: both(scores.after),
    ...(scores.general[0]!.length > 0 ? { general: scores.general } : {}),
    metrics,
    steps,
    ...(kept ? { buffer: kept.length } : {}),
    ...learner.tells?.(),
    memory: learner.memory?.() ?? {},
    parameters: model.parameterCount(),
  };
}

interface PlannedStage {
  readonly stage: Stage;
  readonly steps: number;
  readonly memory: MemoryReport;
}

/** The result of a dry run. */
export function describeStream({ context, read, stages, model }: StreamRun, planned: readonly PlannedStage[]): void {
  const { total, trainable } = model.parameterCount();
  const count = (n: number) => n.toLocaleString("en-US");
  const kinds = (memory: MemoryReport) =>
    Object.entries(memory)
      .map(([kind, bytes]) => `${kind} ${humanBytes(bytes)}`)
      .join(", ");
  const tasks = read.tasks.map(({ name, rows }) => `${name} ${count(rows)} rows`);
  context.print(
    [
      `${count(total)} parameters, ${count(trainable)} trained`,
      `tasks: ${tasks.join("; ")}`,
      `${stages.length} stages`,
      ...planned.map(
        ({ stage, steps, memory }) => `${stage.name}: ${count(steps)} steps, GPU memory: ${kinds(memory)}`,
      ),
    ].join("\n"),
  );
  context.json({
    parameters: { total, trainable },
    tasks: read.tasks.map(({ name, rows }) => ({ name, rows })),
    stages: planned.map(({ stage, steps, memory }) => ({ name: stage.name, steps, memory })),
  });
}
