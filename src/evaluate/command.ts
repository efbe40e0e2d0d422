/** What the `evaluate` script does: models side by side, metrics by group, differences and intervals. */
import { isatty } from "node:tty";

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { open } from "../checkpoint/open.ts";
import type { Context, Outcome } from "../cli/context.ts";
import { textOutput } from "../cli/output.ts";
import { writeText } from "../cli/stderr.ts";
import { refuseInputs } from "../cli/target.ts";
import type { Batch } from "../data/batch.ts";
import { type GroupReference, parseGroups } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import { type Gpu, openGpu } from "../gpu/gpu.ts";
import { bind } from "../method/bind.ts";
import { leftOutOfTable } from "../run/evaluation/documents.ts";
import { seedRuns } from "../run/evaluation/seeds.ts";
import { expertStore } from "../run/expert-store.ts";
import { type CombinedWith, ModelLoader } from "../run/measuring/loaded-model.ts";
import { type BoundMetric, needsOf } from "../run/measuring/metric.ts";
import { checkMetrics } from "../run/measuring/metric-checks.ts";
import { checkMixedNeeds, type MixedWith } from "../run/measuring/mixed-model.ts";
import { prepare } from "../run/measuring/model-checks.ts";
import { liveAdapters } from "../run/open-model.ts";
import { type Reader, readForScoring, type ScoringData } from "../run/scoring/read-rows.ts";
import { readingsOf } from "../run/scoring/score-text.ts";
import type { Need, ScoredRow } from "../run/scoring/scored-row.ts";
import { once } from "../text/once.ts";
import { checkAlone, checkOutputs, checkStdin, checkTask, checkWith, goldRemark, inputsOf } from "./checks.ts";
import { checkCombined, withRule } from "./combined.ts";
import { plannedMemory, planOf, writesOf } from "./dry-run.ts";
import { LogitDump } from "./dump.ts";
import { loadTask, type Task } from "./harness/task.ts";
import { withHeadFile } from "./head-file.ts";
import { measuredNames, withMixtures, withOther } from "./mixed.ts";
import type { EVALUATE, EvaluateOptions } from "./options.ts";
import { passThrough } from "./pass-through.ts";
import { heldAgainst, metricsOr, modelsOf, withDraft, withEncoder } from "./references.ts";
import { type Found, formOf, isBesideJson, rendered } from "./render.ts";
import { results } from "./results.ts";
import { type ChosenTechnique, chosenTechnique, filesOf, groupsFor } from "./techniques.ts";

export type EvaluateContext = Context<typeof EVALUATE, "decoder">;

/** What was asked for. */
interface Asked {
  readonly refs: readonly string[];
  readonly groups: readonly GroupReference[];
  readonly metrics: readonly BoundMetric[];
  readonly chosen: ChosenTechnique | undefined;
  readonly task: Task | undefined;
}

/** An open checkpoint, and how rows are read for it. */
interface Opened {
  /** What it is to the evaluation: "model", "gold", "with", or the option of a technique that names it. */
  readonly role: string;
  readonly ref: string;
  readonly checkpoint: Checkpoint;
  readonly reader: Reader;
  readonly mixed?: MixedWith;
  readonly combined?: CombinedWith;
  readonly draft?: Checkpoint;
  readonly encoder?: Checkpoint;
}

export async function evaluate(context: EvaluateContext): Promise<Outcome> {
  const asked = await askedFor(context);
  const warn = once(context.warn);
  const all = await openAll(context, asked, warn);
  const { method, settings } = context;
  const opened = method
    ? withRule(all, bind(method, settings), (text) => context.info(text))
    : await withMixtures(all, context.options);
  const { metrics, chosen } = asked;
  // A probe reads rows in its own way.
  const needs = chosen?.kind === "probe" ? new Set<Need>() : needsOf(metrics);
  if (context.dryRun) {
    await tellPlan(context, asked, needs, opened, warn);
    return {};
  }
  const report = reporter(context, measuredNames(asked.refs, context.options, method?.name));
  const found = chosen
    ? await runTechnique(context, asked, chosen, opened, warn)
    : await runMetrics(context, asked, needs, opened, warn);
  report(found);
  return {};
}

/** Reads the rows for every model, and says what would be done. */
async function tellPlan(
  context: EvaluateContext,
  { metrics, groups, chosen, task }: Asked,
  needs: ReadonlySet<Need>,
  opened: readonly Opened[],
  warn: (message: string) => void,
): Promise<void> {
  const { options, device, signal } = context;
  const read: (Opened & { readonly data: ScoringData; readonly bits: number | undefined })[] = [];
  for (const model of opened) {
    const data = task?.read(model.reader) ?? (await readForScoring(groups, model.reader, needs));
    read.push({ ...model, data, bits: model.role === "model" ? bitsOf(options) : undefined });
  }
  const gpu = await openGpu({ device, dry: true });
  const loader = await loaderFor(context, metrics, warn, task, gpu);
  const dumpTop = options.dump === undefined ? undefined : options.dump_top;
  const of = { gpu, loader, opened: read, needs, rows: options.batch_size, signal, dumpTop };
  const memory = await plannedMemory({ ...of, isLeast: chosen !== undefined });
  const technique = chosen ? { [chosen.kind]: chosen.technique.name } : {};
  const writes = writesOf({ ...options, out: context.out, files: filesOf(chosen) });
  const { json, text } = planOf({
    models: withOther(opened),
    metrics,
    groups,
    data: read[0]!.data,
    technique,
    writes,
    memory,
  });
  if (options.json) context.line(json);
  else context.print(text);
}

/**
 * Groups, metrics and technique, with their checks. Throws UserError for what can be known before a model is opened.
 */
async function askedFor(context: EvaluateContext): Promise<Asked> {
  const { options } = context;
  const refs = context.args.length > 0 ? context.args : ["-"];
  const chosen = chosenTechnique(context.picks);
  checkTask(options);
  if (!context.method) checkWith(options, chosen?.technique.mixes ?? false);
  const given = options.task === undefined ? undefined : parseGroups(options.data ?? []);
  const task = given && (await loadTask(options.task!, given));
  const groups = task?.groups ?? groupsFor(chosen, options);
  const metrics = task?.metrics ?? (await metricsOr(context.picks.metric, chosen?.technique.metrics));
  if (options.pass && refs.length > 1)
    throw new UserError("--pass passes one model on, but there are several", "leave out --pass");
  checkMetrics(metrics, groups, options);
  if (context.method) checkCombined(context.method, options, needsOf(metrics));
  else if (options.with?.length) checkMixedNeeds(needsOf(metrics));
  const remark = goldRemark(metrics, refs, options);
  if (remark !== undefined) context.info(remark);
  if (!task) checkStdin(metrics, groups, options, refs.length);
  if (chosen) {
    checkAlone(chosen.kind, options);
    for (const { role } of modelsOf(metrics))
      throw new UserError(`--${role} has no effect with --${chosen.kind}`, "run them apart");
    const { forget_group: forget, holdout_group: holdout } = options;
    const named = { groups: groups.map(({ name }) => name), forget, holdout };
    chosen.technique.check?.({
      ...named,
      metrics,
      values: chosen.values,
      gold: options.gold !== undefined,
      models: refs.length,
    });
  }
  checkOutputs(options, context.out, context.dryRun);
  if (chosen && options.long)
    throw new UserError(`--long has no effect with --${chosen.kind}, whose table is always whole`, "leave it out");
  checkForm(context);
  return { refs, groups, metrics, chosen, task };
}

/** Opens all models; reads headers, configs and tokenizers only. Throws UserError where an output is an input. */
async function openAll(
  context: EvaluateContext,
  { refs, groups, metrics, chosen, task }: Asked,
  warn: (message: string) => void,
): Promise<Opened[]> {
  const { options } = context;
  const named = (chosen?.technique.models ?? []).map((role) => ({
    role,
    ref: chosen!.values[role] as string | undefined,
  }));
  const asked = [
    ...refs.map((ref) => ({ role: "model", ref })),
    { role: "gold", ref: options.gold },
    ...(options.with ?? []).map((ref) => ({ role: "with", ref })),
    ...(chosen ? [] : modelsOf(metrics)),
    ...named,
  ];
  const checkpoints: Checkpoint[] = [];
  context.onExit(() => {
    for (const checkpoint of checkpoints) checkpoint.close();
  });
  const models: { role: string; ref: string; checkpoint: Checkpoint }[] = [];
  for (const { role, ref } of asked) {
    if (ref === undefined) continue;
    const checkpoint = withHeadFile(await open(ref, { live: liveAdapters(options), warn }), options.zeroshot_head);
    checkpoints.push(checkpoint);
    models.push({ role, ref, checkpoint });
  }
  const head = options.zeroshot_head === undefined ? [] : [options.zeroshot_head];
  const inputs = [...inputsOf(options, checkpoints, groups), ...(task?.files ?? []), ...head];
  if (options.dump !== undefined) refuseInputs(options.dump, inputs, "--dump");
  for (const { flag, path } of filesOf(chosen)) refuseInputs(path, inputs, flag);
  refuseInputs(context.out, inputs);
  const opened: Opened[] = [];
  for (const model of models)
    opened.push({ ...model, reader: await prepare(model.checkpoint, metrics, options, warn) });
  const measures = chosen ? [] : metrics;
  return withEncoder(withDraft(opened, measures), measures);
}

/** Throws UserError for a file of a form that there is not, or that cannot stand beside --json. */
function checkForm({ options, out }: EvaluateContext): void {
  if (isBesideJson(formOf(out)) && options.json && options.pass)
    throw new UserError(`--json and -o ${out} are two results, and --pass takes stdout`, "leave out --json");
}

/**
 * Writes what was found, as the ending of -o says: to stdout or -o; with --pass to stderr or -o. With --json what
 * machines read goes to stdout where the file is another form. Throws UserError where -o is a folder.
 */
function reporter(context: EvaluateContext, refs: readonly string[]): (found: Found) => void {
  const { options, out } = context;
  const form = formOf(out);
  const cuts = out === "-" && isatty(options.pass ? 2 : 1);
  const screen = options.pass ? process.stderr : process.stdout;
  const layout = { width: (cuts && screen.columns) || 80, cuts, long: options.long, refs };
  const text = (found: Found) => rendered(form ?? (options.json ? "json" : "txt"), found, layout);
  if (options.pass && out !== "-") {
    const target = textOutput(out);
    context.onExit((ok) => (ok ? target.commit() : target.discard()));
    return (found) => target.write(text(found));
  }
  if (out === "-") return (found) => (options.json ? context.line(found.value) : context.print(text(found)));
  const target = textOutput(out);
  context.onExit((ok) => (ok ? target.commit() : target.discard()));
  return (found) => {
    target.write(text(found));
    const left = found.rows && (form === "md" || form === "tex") && !options.long && leftOutOfTable(found.rows);
    if (left) context.info(left);
    if (options.json && isBesideJson(form)) writeText(`${JSON.stringify(found.value)}\n`);
  };
}

async function loaderFor(
  { options, seed, device, signal, progress }: EvaluateContext,
  metrics: readonly BoundMetric[],
  warn: (message: string) => void,
  task?: Task,
  gpu?: Gpu,
): Promise<ModelLoader> {
  const experts = expertStore(options, seed, options.offload);
  const given = gpu ?? (await openGpu({ device }));
  return new ModelLoader({ gpu: given, metrics, options, experts, signal, progress, warn, task });
}

async function runTechnique(
  context: EvaluateContext,
  { metrics, groups }: Asked,
  { kind, technique, values }: ChosenTechnique,
  opened: readonly Opened[],
  warn: (message: string) => void,
): Promise<Found> {
  const { options, seed, signal, progress } = context;
  const { forget_group: forget, holdout_group: holdout } = options;
  const loader = await loaderFor(context, metrics, warn);
  const of = (role: string) => opened.filter((model) => model.role === role).map(({ checkpoint }) => checkpoint);
  progress.start({ unit: "rows" });
  const { table: cells, json } = await technique.run({
    values,
    metrics,
    groups,
    forget,
    holdout,
    candidates: of("model"),
    gold: of("gold")[0],
    mixed: (candidate) => opened.find(({ checkpoint }) => checkpoint === candidate)?.mixed,
    named: Object.fromEntries((technique.models ?? []).flatMap((role) => of(role).map((found) => [role, found]))),
    quantize: bitsOf(options),
    seed,
    signal,
    loader,
  });
  progress.done();
  const value = { [kind]: technique.name, ...json };
  context.log.event("result", { value });
  return { value, cells };
}

async function runMetrics(
  context: EvaluateContext,
  { refs, metrics, groups, task }: Asked,
  needs: ReadonlySet<Need>,
  opened: readonly Opened[],
  warn: (message: string) => void,
): Promise<Found> {
  const { options, seed, progress, log } = context;
  // What is wrong with the rows shows before the first model is on the GPU, and with --pass before its first byte is
  // passed on.
  const first = task?.read(opened[0]!.reader) ?? (await readForScoring(groups, opened[0]!.reader, needs));
  if (options.pass && !task)
    for (const { role, reader } of opened) if (role === "gold") await readForScoring(groups, reader, needs);
  const loader = await loaderFor(context, metrics, warn, task);
  const found: ScoredRow[][] = [];
  // Every model reads the same rows, the gold model too.
  progress.start({ total: opened.length * readingsOf(first, needs), unit: "readings of rows" });
  for (const [i, { role, checkpoint, reader, ...beside }] of opened.entries()) {
    const source = options.pass && i === 0 ? await passThrough(checkpoint) : checkpoint;
    const bits = role === "model" ? bitsOf(options) : undefined;
    const loaded = await loader.load(source, { bits, reader, ...beside });
    const dump = i === 0 && options.dump !== undefined ? new LogitDump(loaded.model, options.dump_top) : undefined;
    const visit = dump && ((batch: Batch) => dump.add(batch));
    found.push(await loaded.score(groups, { visit, data: i === 0 ? first : undefined }));
    await dump?.write(options.dump!);
    await loaded.free();
  }
  progress.done();
  const scored = heldAgainst(opened, found);
  const { forget_group: forget, holdout_group: holdout } = options;
  const gold = options.gold === undefined ? {} : { gold: scored[refs.length]! };
  const names = measuredNames(refs, options, context.method?.name);
  const runs = seedRuns(
    names.map((ref, i) => ({ ref, lineage: opened[i]!.checkpoint.lineage })),
    options.seeds,
  );
  const rows = results(
    {
      models: names.map((ref, i) => ({ ref, run: runs[i], rows: scored[i]! })),
      gold: options.gold,
      context: { groups: groups.map(({ name }) => name), forget, holdout, ...gold },
    },
    metrics,
    { draws: options.bootstrap, seed },
  );
  const overall = Object.fromEntries(
    metrics.map(({ method: { name } }) => [
      name,
      rows.find((row) => row.metric === name && row.group === "all")?.value,
    ]),
  );
  log.event("result", { value: { rows } });
  for (const { model, group, metric, value, rows: n } of rows)
    log.event("eval", { name: metric, group, model, value, n });
  return { value: { ...overall, rows }, rows };
}

const bitsOf = ({ quantize }: EvaluateOptions): number | undefined =>
  quantize === undefined ? undefined : Number(quantize);
