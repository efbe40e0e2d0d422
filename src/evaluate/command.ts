/** What the `evaluate` script does: models side by side, metrics by group, differences and intervals. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { open } from "../checkpoint/open.ts";
import { createWriter } from "../checkpoint/write.ts";
import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import type { Values } from "../cli/options.ts";
import { nearest } from "../cli/suggest.ts";
import { table } from "../cli/table.ts";
import type { GroupReference } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import { groupsOf } from "../train/data-source.ts";
import { bootstrap } from "./bootstrap.ts";
import { LogitDump } from "./dump.ts";
import { Lab, needsOf, partsOf } from "./lab.ts";
import type { Metric, MetricContext, Need, ScoredRow } from "./metric.ts";
import type { EVALUATE } from "./options.ts";
import { cell } from "./technique.ts";
import { chosenTechnique } from "./techniques.ts";

export type EvaluateContext = PlainContext & { readonly options: CommonValues & Values<typeof EVALUATE> };

/** One number of the result. */
interface Row {
  readonly model: string;
  readonly group: string;
  readonly metric: string;
  readonly value: number;
  /** 95 % interval. */
  readonly interval?: readonly [number, number];
  /** Against the first model, with its interval. */
  readonly difference?: number;
  readonly difference_interval?: readonly [number, number];
  readonly rows: number;
}

const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** Names of all metrics: the files of this folder that export one. */
export const metricNames = (): string[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith(".ts") && /^export const metric\b/m.test(readFileSync(`${FOLDER}${file}`, "utf8")))
    .map((file) => file.slice(0, -3))
    .sort();

/** Throws UserError with the nearest name. */
export async function loadMetric(typed: string): Promise<Metric> {
  const name = typed.trim().toLowerCase().replaceAll("_", "-").replace("++", "-plus");
  const names = metricNames();
  if (!names.includes(name)) {
    const near = nearest(name, names);
    throw new UserError(
      `--metric: unknown metric ${typed}`,
      near ? `did you mean ${near}?` : `there are ${names.join(", ")}`,
    );
  }
  return (await import(`./${name}.ts`)).metric;
}

export async function evaluate(context: EvaluateContext): Promise<Outcome> {
  const { options } = context;
  const refs = context.args.length > 0 ? context.args : ["-"];
  const groups = groupsOf(options.data, "--data");
  const chosen = await chosenTechnique({ ...options });
  const names = options.metric ?? chosen?.technique.metrics ?? ["loss,accuracy"];
  const metrics = await Promise.all(names.flatMap((text) => text.split(",")).map(loadMetric));
  if (options.pass && refs.length > 1)
    throw new UserError("--pass hands on one model, but there are several", "leave out --pass");
  checkMetrics(metrics, groups, options);
  const { forget, holdout, min_k: minK } = options;
  const asked = { metrics, forget, holdout, minK, values: chosen?.values ?? {} } as const;
  if (chosen) {
    checkAlone(chosen.kind, options);
    const given = { gold: options.gold !== undefined, original: options.original !== undefined };
    chosen.technique.check?.({ ...asked, ...given, groups: groups.map(({ name }) => name) });
  }
  const warn = (message: string) => context.warn(message);
  const checkpoints: Checkpoint[] = [];
  context.onExit(() => {
    for (const checkpoint of checkpoints) checkpoint.close();
  });
  const opened = async (ref: string) => {
    const checkpoint = await open(ref, { warn });
    checkpoints.push(checkpoint);
    return checkpoint;
  };
  for (const ref of [...refs, ...(options.gold === undefined ? [] : [options.gold])]) await opened(ref);
  const original = options.original === undefined ? undefined : await opened(options.original);
  const gpu = await openGpu({ device: context.device });
  const { progress, signal, seed } = context;
  const lab = new Lab({ gpu, metrics, options, signal, progress, warn });
  const quantize = options.quantize === undefined ? undefined : Number(options.quantize);
  if (chosen) {
    const { kind, technique, values } = chosen;
    progress.start({ unit: "rows" });
    const { table: cells, json } = await technique.run({
      ...asked,
      values,
      groups,
      candidates: checkpoints.slice(0, refs.length),
      gold: options.gold === undefined ? undefined : checkpoints[refs.length],
      original,
      quantize,
      seed,
      signal,
      lab,
    });
    progress.done();
    const value = { [kind]: technique.name, ...json };
    context.log.event("result", { value });
    if (options.json) context.line(value);
    else context.print(table(cells));
    return {};
  }
  const scored: ScoredRow[][] = [];
  for (const [i, checkpoint] of checkpoints.entries()) {
    const source = options.pass && i === 0 ? await passing(context, checkpoint) : checkpoint;
    const specimen = await lab.load(source, { bits: i < refs.length ? quantize : undefined });
    const dump = i === 0 && options.dump !== undefined ? new LogitDump(specimen.model, options.dump_top) : undefined;
    progress.start({ unit: "rows" });
    scored.push(await specimen.score(groups, dump && ((batch) => dump.add(batch))));
    await dump?.write(options.dump!);
    progress.done();
    await specimen.free();
  }
  const gold = scored[refs.length];
  const rows = results(context, refs, metrics, scored.slice(0, refs.length), {
    groups: groups.map(({ name }) => name),
    forget,
    holdout,
    minK,
    ...(gold ? { gold } : {}),
  });
  const first = Object.fromEntries(
    metrics.map(({ name }) => [name, rows.find((row) => row.metric === name && row.group === "all")?.value]),
  );
  context.log.event("result", { value: { rows } });
  for (const { model, group, metric, value, rows: n } of rows)
    context.log.event("eval", { name: metric, group, model, value, n });
  if (options.json) context.line({ ...first, rows });
  else context.print(tableOf(rows, refs));
  return {};
}

/** Throws UserError for options that an attack or a probe has no place for. */
function checkAlone(kind: string, options: EvaluateContext["options"]): void {
  const odd = options.pass ? "pass" : options.dump !== undefined ? "dump" : undefined;
  if (odd) throw new UserError(`--${odd} means nothing with --${kind}`, "run them apart, one evaluate each");
  if (options.dtype === "bf16")
    throw new UserError(`--${kind} works on weights in f32, not bf16`, "leave out --dtype bf16");
}

/** Throws UserError for what can be known before a model is opened. */
function checkMetrics(
  metrics: readonly Metric[],
  groups: readonly GroupReference[],
  options: EvaluateContext["options"],
): void {
  const { forget, holdout, min_k: minK } = options;
  const names = groups.map(({ name }) => name);
  for (const { check } of metrics) check?.({ groups: names, forget, holdout, minK, gold: options.gold !== undefined });
  const needs = needsOf(metrics);
  const odd = metrics.find((metric) => needs.has("choice") && needsOf([metric]).difference(CHOICE_NEEDS).size > 0);
  if (odd)
    throw new UserError(
      `--metric choice scores the choices of a row, ${odd.name} its own answer`,
      `run them apart, one evaluate with --metric choice and one with --metric ${odd.name}`,
    );
  const once = new Set<Need>(["choice", "moments", "gradient", "packed-bytes"]);
  const twice = needs.difference(once).size > 0;
  const asks =
    options.attack !== undefined ? "--attack asks" : options.probe !== undefined ? "--probe asks" : undefined;
  if ((twice || asks || options.gold !== undefined) && groups.some(({ path }) => path === "-"))
    throw new UserError(
      `rows from stdin cannot be read twice, as ${asks ?? "these metrics or --gold ask"} for`,
      "write them to a file first",
    );
}

const CHOICE_NEEDS = new Set<Need>(["choice", "generated"]);

/** Copies the model to stdout as it is read, and keeps it for the evaluation. */
async function passing(context: EvaluateContext, checkpoint: Checkpoint): Promise<Checkpoint> {
  const held = new Map<string, Uint8Array>();
  const tensors = [...checkpoint.tensors.values()];
  if (tensors.some(({ patch }) => patch))
    throw new UserError(
      "--pass hands a checkpoint on as it is; an adapter would be lost",
      "merge it first: bun run merge",
    );
  const writer = await createWriter(context.out, { tensors, files: checkpoint.files, lineage: checkpoint.lineage });
  for (const tensor of tensors) {
    const bytes = new Uint8Array(tensor.bytes);
    await tensor.read(bytes, 0);
    held.set(tensor.name, bytes);
    await writer.write(tensor.name, bytes);
  }
  await writer.finish();
  const entries = tensors.map((tensor) => {
    const read = async (into: Uint8Array, offset: number) =>
      into.set(held.get(tensor.name)!.subarray(offset, offset + into.length));
    return [tensor.name, { ...tensor, read }] as const;
  });
  return { ...checkpoint, tensors: new Map(entries) };
}

function results(
  { options, seed }: EvaluateContext,
  refs: readonly string[],
  metrics: readonly Metric[],
  scored: readonly (readonly ScoredRow[])[],
  context: MetricContext,
): Row[] {
  const rows: Row[] = [];
  const parts = partsOf(context.groups);
  for (const metric of metrics) {
    for (const { name: group, has } of metric.across ? parts.slice(0, 1) : parts) {
      const gold = context.gold?.filter(has);
      for (const [m, model] of refs.entries()) {
        const own = scored[m]!.filter(has);
        const base = scored[0]!.filter(has);
        // Rows of the gold model are resampled with those of the others.
        const paired = gold?.length === own.length ? [gold] : [];
        const measure = (list: readonly ScoredRow[], against: readonly ScoredRow[] | undefined = gold) =>
          metric.value(list, { ...context, ...(against ? { gold: against } : {}) });
        const value = measure(own);
        const several = options.bootstrap > 0 && own.length > 1 && metric.interval !== false;
        const draw = {
          draws: options.bootstrap,
          seed,
          ...(metric.across ? { strata: own.map((row) => row.group) } : {}),
        };
        const difference = m > 0 ? value - measure(base) : undefined;
        rows.push({
          model,
          group,
          metric: metric.name,
          value,
          ...(several ? { interval: bootstrap([own, ...paired], ([list, g]) => measure(list!, g), draw) } : {}),
          ...(difference === undefined ? {} : { difference }),
          ...(difference !== undefined && several && own.length === base.length
            ? {
                difference_interval: bootstrap(
                  [own, base, ...paired],
                  ([a, b, g]) => measure(a!, g) - measure(b!, g),
                  draw,
                ),
              }
            : {}),
          rows: own.length,
        });
        const details = metric.details?.(own, { ...context, ...(gold ? { gold } : {}) }) ?? {};
        for (const [detail, number] of Object.entries(details)) {
          rows.push({ model, group, metric: `${metric.name} ${detail}`, value: number, rows: own.length });
        }
        if (gold && !metric.usesGold) {
          const known = measure(gold);
          const relative = (100 * (value - known)) / (known + 1e-10);
          if (m === 0) rows.push({ model: options.gold!, group, metric: metric.name, value: known, rows: gold.length });
          rows.push({ model, group, metric: `${metric.name} % from gold`, value: relative, rows: own.length });
        }
      }
    }
  }
  return rows;
}

function tableOf(rows: readonly Row[], refs: readonly string[]): string {
  const several = refs.length > 1;
  const named = several || rows.some(({ model }) => !refs.includes(model));
  const range = (interval?: readonly [number, number]) =>
    interval ? `${cell(interval[0])} to ${cell(interval[1])}` : "";
  const header = [
    ...(named ? ["model"] : []),
    "group",
    "metric",
    "value",
    "95 %",
    ...(several ? ["difference", "95 %"] : []),
    "rows",
  ];
  return table([
    header,
    ...rows.map(({ model, group, metric, value, interval, difference, difference_interval, rows: n }) => [
      ...(named ? [model] : []),
      group,
      metric,
      cell(value),
      range(interval),
      ...(several ? [difference === undefined ? "" : cell(difference), range(difference_interval)] : []),
      String(n),
    ]),
  ]);
}
