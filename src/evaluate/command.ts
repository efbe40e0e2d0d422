/** What the `evaluate` script does: models side by side, metrics by group, differences and intervals. */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { open } from "../checkpoint/open.ts";
import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import type { Values } from "../method/options.ts";
import { loadMethod, methodNames } from "../method/registry.ts";
import { groupsOf } from "../run/training/data-source.ts";
import { table } from "../text/table.ts";
import { checkAlone, checkMetrics, checkOutputs, refuseOwnInputs } from "./checks.ts";
import type { Metric, Need, ScoredRow } from "./contract.ts";
import { printPlan } from "./dry-run.ts";
import { LogitDump } from "./dump.ts";
import { Lab, needsOf } from "./loaded-model.ts";
import { prepare } from "./model-checks.ts";
import type { EVALUATE } from "./options.ts";
import { passing, resultOf } from "./pass-through.ts";
import { type EvaluationData, type Reader, readData } from "./read-data.ts";
import { results, tableOf } from "./results.ts";
import { chosenTechnique } from "./techniques.ts";

export type EvaluateContext = PlainContext & { readonly options: CommonValues & Values<typeof EVALUATE> };

/** Names of all metrics. */
export const metricNames = (): string[] => methodNames("metric");

/** Throws UserError with the nearest name. */
export const loadMetric = (typed: string): Promise<Metric> =>
  loadMethod("metric", typed.replace("++", "-plus"), "--metric");

export async function evaluate(context: EvaluateContext): Promise<Outcome> {
  const { options, seed, signal, progress } = context;
  const refs = context.args.length > 0 ? context.args : ["-"];
  const groups = groupsOf(options.data, "--data");
  const chosen = await chosenTechnique({ ...options });
  const names = options.metric ?? chosen?.technique.metrics ?? ["loss,accuracy"];
  const metrics = await Promise.all(names.flatMap((text) => text.split(",")).map(loadMetric));
  if (options.pass && refs.length > 1)
    throw new UserError("--pass hands on one model, but there are several", "leave out --pass");
  checkMetrics(metrics, groups, options, refs.length);
  const { forget, holdout, min_k: minK } = options;
  const asked = { metrics, forget, holdout, minK, values: chosen?.values ?? {} } as const;
  if (chosen) {
    checkAlone(chosen.kind, options);
    const given = { gold: options.gold !== undefined, original: options.original !== undefined };
    chosen.technique.check?.({ ...asked, ...given, groups: groups.map(({ name }) => name) });
  }
  checkOutputs(context);
  const told = new Set<string>();
  const warn = (message: string) => {
    if (!told.has(message)) context.warn(message); // once, not for every model and measurement
    told.add(message);
  };
  const checkpoints: Checkpoint[] = [];
  context.onExit(() => {
    for (const checkpoint of checkpoints) checkpoint.close();
  });
  for (const ref of [...refs, ...[options.gold, options.original].filter((other) => other !== undefined)])
    checkpoints.push(await open(ref, { warn }));
  refuseOwnInputs(context, checkpoints, groups);
  const readers: Reader[] = [];
  for (const checkpoint of checkpoints) readers.push(await prepare(checkpoint, metrics, options, warn));
  const gold = options.gold === undefined ? undefined : refs.length;

  // A probe reads rows in its own way.
  const needs = chosen?.kind === "probe" ? new Set<Need>() : needsOf(metrics);
  if (context.dryRun) {
    const data: EvaluationData[] = [];
    for (const reader of readers) data.push(await readData(groups, reader, needs));
    return printPlan(context, { refs, metrics, groups, checkpoints, data: data[0]!, chosen });
  }
  const result = resultOf(context);
  if (chosen) {
    const lab = new Lab({ gpu: await openGpu({ device: context.device }), metrics, options, signal, progress, warn });
    const { kind, technique, values } = chosen;
    progress.start({ unit: "rows" });
    const { table: cells, json } = await technique.run({
      ...asked,
      values,
      groups,
      candidates: checkpoints.slice(0, refs.length),
      gold: gold === undefined ? undefined : checkpoints[gold],
      original: options.original === undefined ? undefined : checkpoints.at(-1),
      quantize: bitsOf(options),
      seed,
      signal,
      lab,
    });
    progress.done();
    const value = { [kind]: technique.name, ...json };
    context.log.event("result", { value });
    result(value, () => table(cells));
    return {};
  }
  // What is wrong with the rows shows before the first model is on the GPU, and with --pass before its first byte is handed on.
  const first = await readData(groups, readers[0]!, needs);
  if (options.pass && gold !== undefined) await readData(groups, readers[gold]!, needs);
  const lab = new Lab({ gpu: await openGpu({ device: context.device }), metrics, options, signal, progress, warn });
  const scored: ScoredRow[][] = [];
  for (const [i, checkpoint] of checkpoints.entries()) {
    const source = options.pass && i === 0 ? await passing(checkpoint) : checkpoint;
    const bits = i < refs.length ? bitsOf(options) : undefined;
    const specimen = await lab.load(source, { bits, reader: readers[i]! });
    const dump = i === 0 && options.dump !== undefined ? new LogitDump(specimen.model, options.dump_top) : undefined;
    progress.start({ unit: "rows" });
    const visit = dump && ((batch: Batch) => dump.add(batch));
    scored.push(await specimen.score(groups, { visit, data: i === 0 ? first : undefined }));
    await dump?.write(options.dump!);
    progress.done();
    await specimen.free();
  }
  const rows = results(context, refs, metrics, scored.slice(0, refs.length), {
    groups: groups.map(({ name }) => name),
    forget,
    holdout,
    minK,
    ...(gold === undefined ? {} : { gold: scored[gold]! }),
  });
  const overall = Object.fromEntries(
    metrics.map(({ name }) => [name, rows.find((row) => row.metric === name && row.group === "all")?.value]),
  );
  context.log.event("result", { value: { rows } });
  for (const { model, group, metric, value, rows: n } of rows)
    context.log.event("eval", { name: metric, group, model, value, n });
  result({ ...overall, rows }, () => tableOf(rows, refs));
  return {};
}

const bitsOf = ({ quantize }: EvaluateContext["options"]): number | undefined =>
  quantize === undefined ? undefined : Number(quantize);
