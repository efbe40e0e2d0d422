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
import { type Gpu, openGpu } from "../gpu/gpu.ts";
import { configOf, Model } from "../model/model.ts";
import { groupsOf, textTools } from "../train/data-source.ts";
import { bootstrap } from "./bootstrap.ts";
import { LogitDump } from "./dump.ts";
import type { Metric, MetricContext, Need, ScoredRow } from "./metric.ts";
import type { EVALUATE } from "./options.ts";
import { quantized } from "./quantize.ts";
import { scoreExamples, scoreText } from "./score-rows.ts";

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
  const metrics = await Promise.all(
    (options.metric ?? ["loss,accuracy"]).flatMap((text) => text.split(",")).map(loadMetric),
  );
  if (options.pass && refs.length > 1)
    throw new UserError("--pass hands on one model, but there are several", "leave out --pass");
  checkMetrics(metrics, groups, options);
  const warn = (message: string) => context.warn(message);
  const checkpoints: Checkpoint[] = [];
  context.onExit(() => {
    for (const checkpoint of checkpoints) checkpoint.close();
  });
  for (const ref of [...refs, ...(options.gold === undefined ? [] : [options.gold])])
    checkpoints.push(await open(ref, { warn }));
  const gpu = await openGpu({ device: context.device });
  const scored: ScoredRow[][] = [];
  for (const [i, checkpoint] of checkpoints.entries()) {
    const source = options.pass && i === 0 ? await passing(context, checkpoint) : checkpoint;
    const bits = i < refs.length ? options.quantize : undefined;
    const used = bits === undefined ? source : quantized(source, Number(bits));
    scored.push(await scoreModel(context, used, gpu, groups, metrics, i === 0));
  }
  const gold = scored[refs.length];
  const rows = results(context, refs, metrics, scored.slice(0, refs.length), {
    groups: groups.map(({ name }) => name),
    forget: options.forget,
    holdout: options.holdout,
    minK: options.min_k,
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

/** What rows must hold for all of the metrics. */
const needsOf = (metrics: readonly Metric[]): Set<Need> => new Set(metrics.flatMap(({ needs = [] }) => needs));

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
  const twice = [...needs].some((need) => need !== "choice" && need !== "moments" && need !== "packed-bytes");
  if ((twice || options.gold !== undefined) && groups.some(({ path }) => path === "-"))
    throw new UserError(
      "rows from stdin cannot be read twice, as these metrics or --gold ask for",
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

async function scoreModel(
  context: EvaluateContext,
  checkpoint: Checkpoint,
  gpu: Gpu,
  groups: readonly GroupReference[],
  metrics: readonly Metric[],
  first: boolean,
): Promise<ScoredRow[]> {
  const { options } = context;
  const model = await Model.load(gpu, checkpoint, {
    dtype: options.dtype,
    freeze: () => true,
    warn: (message) => context.warn(message),
  });
  for (const { name, task } of metrics) {
    if (task && task !== model.task)
      throw new UserError(
        `--metric ${name} is not for ${checkpoint.ref}, a ${configOf(checkpoint).model_type} ${model.task}`,
        `it is for a ${task}`,
      );
  }
  const needs = needsOf(metrics);
  const dump = first && options.dump !== undefined ? new LogitDump(model, options.dump_top) : undefined;
  context.progress.start({ unit: "rows" });
  const common = {
    rows: options.batch_size,
    signal: context.signal,
    done: (n: number) => context.progress.advance(n, checkpoint.ref),
    ...(dump ? { visit: (batch: Parameters<LogitDump["add"]>[0]) => dump.add(batch) } : {}),
  };
  const rows =
    model.task === "causal-lm"
      ? await scoreText(model, groups, await textTools(checkpoint.files, checkpoint.ref, model.sizes, options), {
          ...common,
          needs,
          maxTokens: options.max_tokens,
          stop: options.stop ?? [],
        })
      : await scoreExamples(model, groups, common);
  await dump?.write(options.dump!);
  context.progress.done();
  model.free();
  return rows;
}

function results(
  { options, seed }: EvaluateContext,
  refs: readonly string[],
  metrics: readonly Metric[],
  scored: readonly (readonly ScoredRow[])[],
  context: MetricContext,
): Row[] {
  const rows: Row[] = [];
  const all = { name: "all", has: () => true };
  const parts = [
    all,
    ...(context.groups.length > 1
      ? context.groups.map((name, group) => ({ name, has: (row: ScoredRow) => row.group === group }))
      : []),
  ];
  for (const metric of metrics) {
    for (const { name: group, has } of metric.across ? [all] : parts) {
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

const short = (x: number): string => (Number.isNaN(x) ? "-" : Math.abs(x) >= 1000 ? x.toFixed(1) : x.toFixed(4));

function tableOf(rows: readonly Row[], refs: readonly string[]): string {
  const several = refs.length > 1;
  const named = several || rows.some(({ model }) => !refs.includes(model));
  const range = (interval?: readonly [number, number]) =>
    interval ? `${short(interval[0])} to ${short(interval[1])}` : "";
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
      short(value),
      range(interval),
      ...(several ? [difference === undefined ? "" : short(difference), range(difference_interval)] : []),
      String(n),
    ]),
  ]);
}
