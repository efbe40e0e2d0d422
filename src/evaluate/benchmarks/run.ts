/** Runs a benchmark: its passes over all models, and the numbers of its columns. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { GroupReference } from "../../data/groups.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { type LoaderOptions, ModelLoader } from "../../run/measuring/loaded-model.ts";
import type { BoundMetric } from "../../run/measuring/metric.ts";
import { checkMetrics } from "../../run/measuring/metric-checks.ts";
import { prepare } from "../../run/measuring/model-checks.ts";
import type { ScoredRow } from "../../run/scoring/scored-row.ts";
import { privacyLeak } from "../methods/metrics/membership/privleak.ts";
import { results } from "../results.ts";
import type { Benchmark, Pass } from "./contract.ts";
import { groupsIn } from "./files.ts";
import { type GoldLog, rowsWithRatios } from "./gold-log.ts";
import { digestOf, digestOfModel, digestOfRows, type Kept, type KeptNumbers } from "./kept.ts";

export interface Measured {
  readonly checkpoint: Checkpoint;
  readonly role: "target" | "model" | "gold";
}

export interface BenchmarkRun {
  readonly benchmark: Benchmark;
  readonly passes: readonly Pass[];
  readonly folder: string;
  readonly models: readonly Measured[];
  readonly log: GoldLog | undefined;
  readonly kept: KeptNumbers | undefined;
  readonly version: string;
  readonly gpu: Gpu;
  readonly options: Omit<LoaderOptions["options"], "max_tokens" | "stop"> & {
    readonly max_tokens?: number | undefined;
  };
  readonly signal: AbortSignal;
  readonly progress: LoaderOptions["progress"];
  readonly warn: (text: string) => void;
  readonly info: (text: string) => void;
}

/** What of a pass can be measured with these groups. */
async function metricsOf({ metrics }: Pass, groups: readonly GroupReference[], hasGold: boolean, run: BenchmarkRun) {
  const names = new Set(groups.map(({ name }) => name));
  const bound = await Promise.all(metrics.map(async (name) => bindDefaults(await loadMethod("metric", name))));
  return bound.filter(({ method }) => {
    const missing = (method.roles ?? []).find((role) => !names.has(role));
    if (missing !== undefined) run.info(`${method.name} is left out: there are no rows named ${missing}`);
    else if (method.gold === "required" && !hasGold)
      run.info(
        `${method.name} is left out: it holds models against one that never saw the rows; give --gold or --gold-log`,
      );
    return missing === undefined && (method.gold !== "required" || hasGold);
  });
}

/** The numbers of one model, from its rows and gold's. */
function numbersOf(
  rows: readonly ScoredRow[],
  gold: readonly ScoredRow[] | undefined,
  metrics: readonly BoundMetric[],
  groups: readonly GroupReference[],
): Kept[] {
  const context = { groups: groups.map(({ name }) => name), forget: "forget", holdout: "holdout" };
  const scored = {
    models: [{ ref: "model", rows }],
    gold: gold && "gold",
    context: { ...context, ...(gold ? { gold } : {}) },
  };
  return results(scored, metrics, { draws: 0, seed: 0 })
    .filter(({ model }) => model === "model")
    .map(({ metric, group, value }) => ({ metric, group, value }));
}

/** The same where gold is a log: its truth ratios, and the area of its attack. */
function numbersByLog(
  rows: readonly ScoredRow[],
  log: GoldLog,
  metrics: readonly BoundMetric[],
  groups: readonly GroupReference[],
): Kept[] {
  const forget = groups.findIndex(({ name }) => name === "forget");
  const required = metrics.filter(({ method }) => method.gold === "required");
  const others = metrics.filter(({ method }) => method.gold !== "required");
  const plain = numbersOf(rows, undefined, others, groups);
  const area = plain.find(({ metric }) => metric === "privleak auc")?.value;
  const { area: known } = log;
  return [
    ...numbersOf(rows, rowsWithRatios(log.ratios, forget), required, groups),
    ...plain.map((one) =>
      one.metric === "privleak" && area !== undefined && known !== undefined
        ? { ...one, value: privacyLeak(area, known) }
        : one,
    ),
  ];
}

/** The numbers of all models in one pass, in their order. */
async function passed(run: BenchmarkRun, pass: Pass, digests: readonly (string | undefined)[]): Promise<Kept[][]> {
  const { models, log, kept, options, gpu, signal, progress, warn } = run;
  const groups = groupsIn(run.folder, pass);
  if (groups.length === 0) return models.map(() => []);
  const gold = models.findIndex(({ role }) => role === "gold");
  const metrics = await metricsOf(pass, groups, gold >= 0 || log !== undefined, run);
  if (metrics.length === 0) return models.map(() => []);
  checkMetrics(metrics, groups, { gold: "gold", forget_group: "forget", holdout_group: "holdout" });
  const max_tokens = options.max_tokens ?? pass.maxTokens;
  const loader = new ModelLoader({
    gpu,
    metrics,
    options: { ...options, max_tokens, stop: pass.stop },
    signal,
    progress,
    warn,
  });
  const rowsKey = kept && (await digestOfRows(groups));
  const { template, tokenizer, max_length, dtype, batch_size, load_in } = options;
  const how = [run.version, metrics.map(({ method, values }) => [method.name, values]), max_tokens, pass.stop];
  const read = [template, tokenizer, max_length, dtype, batch_size, load_in];
  const goldKey = gold >= 0 ? digests[gold] : log && [log.ratios, log.area];
  const keyOf = (i: number) =>
    kept && digests[i] !== undefined && (gold < 0 || goldKey !== undefined)
      ? digestOf(digests[i], goldKey ?? null, rowsKey, how, read)
      : undefined;
  const keys = models.map((_, i) => keyOf(i));
  const known = keys.map((key) => (key === undefined ? undefined : kept?.get(key)));
  if (known.every((one) => one !== undefined)) return known;
  const score = async ({ checkpoint }: Measured) => {
    const loaded = await loader.load(checkpoint, { reader: await prepare(checkpoint, metrics, options, warn) });
    const rows = await loaded.score(groups);
    await loaded.free();
    return rows;
  };
  const goldRows = gold >= 0 ? await score(models[gold]!) : undefined;
  const found: Kept[][] = [];
  for (const [i, model] of models.entries()) {
    const before = known[i];
    if (before) {
      found.push(before);
      continue;
    }
    const rows = i === gold ? goldRows! : await score(model);
    const own = log ? numbersByLog(rows, log, metrics, groups) : numbersOf(rows, goldRows, metrics, groups);
    if (keys[i] !== undefined) kept?.set(keys[i], own);
    found.push(own);
  }
  return found;
}

/** The number of every column for every model; undefined where it was not measured. */
export async function measureAll(run: BenchmarkRun): Promise<(number | undefined)[][]> {
  const { benchmark, models, kept, passes, warn } = run;
  const digests: (string | undefined)[] = [];
  for (const { checkpoint } of models) {
    const digest = kept && (await digestOfModel(checkpoint));
    if (kept && digest === undefined)
      warn(`${checkpoint.ref} has weights that are made as they are read: nothing is kept`);
    digests.push(digest);
  }
  const byPass: Kept[][][] = [];
  for (const pass of passes) byPass.push(await passed(run, pass, digests));
  const isAlone = passes.map((pass) => groupsIn(run.folder, pass).length < 2);
  return models.map((_, i) =>
    benchmark.columns.map(({ pass, metric, group }) => {
      const there = groupsIn(run.folder, passes[pass]!).some(({ name }) => name === group);
      const name = isAlone[pass] && there ? "all" : group;
      return byPass[pass]![i]!.find((one) => one.metric === metric && one.group === name)?.value;
    }),
  );
}
