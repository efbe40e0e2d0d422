/** The `curriculum` script: training under a sampler, an ordering, or the mixtures of an earlier run. */
import type { Context, Outcome } from "../cli/context.ts";
import { UserError } from "../errors.ts";
import { type Bound, bind } from "../method/bind.ts";
import type { Controller } from "../run/training/controller.ts";
import { type HeldOutGroup, heldOutGroups, readHeldOut } from "../run/training/held-out.ts";
import { runTraining } from "../run/training/run-training.ts";
import type { Built, Opened, TrainingData, Work } from "../run/training/technique.ts";
import { Alignments, aimedAt } from "./alignments.ts";
import { askBackBatches } from "./ask-back.ts";
import type { OrderingMethod, Sampler, SamplerMethod, TaskLoss } from "./contract.ts";
import { MixtureController } from "./mixture-controller.ts";
import { curriculumObjective } from "./objective.ts";
import type { CURRICULUM } from "./options.ts";
import { readRows } from "./read-rows.ts";
import { readSchedule, replay, type Schedule } from "./replay.ts";
import { type RowChanges, rowChanges } from "./row-changes.ts";
import { RowOrder } from "./row-order.ts";
import { readScores } from "./score-file.ts";
import { type ChangeRows, type CurriculumBatch, MixtureSource, OrderedSource, type Rows } from "./source.ts";

type CurriculumContext = Context<typeof CURRICULUM, "curriculum">;

/** What decides which rows come: a method with its settings, or the log of --schedule-from. */
type Director =
  | { readonly kind: "sampler"; readonly bound: Bound<SamplerMethod> }
  | { readonly kind: "ordering"; readonly bound: Bound<OrderingMethod> }
  | { readonly kind: "schedule"; readonly file: string };

/** The rows, and their source as the director needs it. */
type CurriculumData = TrainingData<CurriculumBatch> & { readonly rows: Rows } & (
    | {
        readonly kind: "sampler";
        readonly source: MixtureSource;
        readonly bound: Bound<SamplerMethod>;
        /** Of samplers that need alignments: what is aimed at. */
        readonly aims: readonly HeldOutGroup[];
      }
    | {
        readonly kind: "ordering";
        readonly source: OrderedSource;
        readonly bound: Bound<OrderingMethod>;
        /** Of --scores. */
        readonly scores: Float64Array | undefined;
        /** Of orderings that go by held-out rows. */
        readonly aims: readonly HeldOutGroup[];
      }
    | { readonly kind: "schedule"; readonly source: MixtureSource; readonly schedule: Schedule }
  );

export async function curriculum(context: CurriculumContext): Promise<Outcome> {
  const { options } = context;
  const director = directorOf(context);
  checkScores(options, director);
  checkWeights(options);
  return runTraining<CurriculumBatch, CurriculumData>(context, {
    script: "curriculum",
    carrying: options,
    method: director.kind === "schedule" ? "replay" : director.bound.method.name,
    model: context.args[0] ?? (options.init === undefined ? "-" : undefined),
    data: (opened) => read(context, director, opened),
    work: async (built, data) => work(context, built, data),
  });
}

/** Throws UserError where --schedule-from and a method both say what is drawn. */
function directorOf({ options, method, settings }: CurriculumContext): Director {
  const { schedule_from } = options;
  if (schedule_from !== undefined) {
    if (options.method !== undefined)
      throw new UserError(
        `both --schedule-from and --method ${options.method} say what is drawn`,
        "leave one of them out; a schedule is repeated whatever its method",
      );
    return { kind: "schedule", file: schedule_from };
  }
  if (!method) throw new Error("curriculum has a default method");
  return "rows" in method
    ? { kind: "ordering", bound: bind(method, settings) }
    : { kind: "sampler", bound: bind(method, settings) };
}

/** Throws UserError where losses of rows are given to what does not go by them. */
function checkScores({ scores }: CurriculumContext["options"], director: Director): void {
  if (scores === undefined || (director.kind === "ordering" && director.bound.method.needs === "scores")) return;
  const who = director.kind === "schedule" ? "--schedule-from" : `--method ${director.bound.method.name}`;
  throw new UserError(
    `${who} goes by no losses of the start`,
    "leave out --scores; cyclical, quality and competence do",
  );
}

/** Throws UserError where rows are weighed in two ways, or cannot be. */
function checkWeights({ sample_weight, accumulate, task_loss }: CurriculumContext["options"]): void {
  if (sample_weight === "uniform") return;
  if (accumulate > 1)
    throw new UserError(
      "--sample-weight compares the rows of one batch",
      "give a larger --batch-size instead of --accumulate",
    );
  if ((task_loss ?? "token-mean") !== "token-mean")
    throw new UserError(
      `--sample-weight ${sample_weight} and --task-loss ${task_loss} both say what rows weigh`,
      "leave one of them out",
    );
}

/** Reads rows and, where one is repeated, the schedule. */
async function read({ options, seed }: CurriculumContext, director: Director, opened: Opened): Promise<CurriculumData> {
  const rows = await readRows(options, opened);
  const order = { batchSize: options.batch_size, seed, shuffle: options.shuffle };
  if (director.kind === "ordering") {
    const { method, values } = director.bound;
    method.check?.(values, rows.lengths);
    const scores = options.scores === undefined ? undefined : await readScores(options.scores, rows.items.length);
    const held = await aims(options, director.bound, opened);
    return { ...director, rows, scores, aims: held, source: new OrderedSource(rows, order) };
  }
  const source = new MixtureSource(rows, order);
  if (director.kind === "sampler")
    return { ...director, rows, source, aims: await aims(options, director.bound, opened) };
  return { kind: "schedule", rows, source, schedule: readSchedule(director.file, rows.names) };
}

/** The held-out rows whose gradient groups are compared with. Throws UserError where there are none. */
async function aims(
  options: CurriculumContext["options"],
  { method, values }: Bound<SamplerMethod> | Bound<OrderingMethod>,
  opened: Opened,
): Promise<readonly HeldOutGroup[]> {
  const isNeeded = "make" in method ? method.needs?.includes("alignments") : method.augments?.(values).learns;
  if (!isNeeded) return [];
  const held = await readHeldOut(heldOutGroups(options, opened.split), opened, options.batch_size);
  const { aim }: Readonly<Record<string, unknown>> = values;
  return aimedAt(held, Array.isArray(aim) ? aim.map(String) : undefined, `--method ${method.name}`);
}

/** What the weights of groups are for: the option, else what the method or the schedule says. */
function taskLossOf({ options }: CurriculumContext, data: CurriculumData): TaskLoss {
  const own =
    data.kind === "sampler"
      ? data.bound.method.taskLoss
      : data.kind === "schedule"
        ? data.schedule.taskLoss
        : undefined;
  return options.task_loss ?? own ?? "token-mean";
}

function work(context: CurriculumContext, built: Built, data: CurriculumData): Work<CurriculumBatch> {
  const { options } = context;
  const { model, steps } = built;
  const taskLoss = taskLossOf(context, data);
  const changes = data.kind === "ordering" ? changesOf(context, built, data) : undefined;
  const director =
    data.kind === "ordering"
      ? orderRows(context, built, data, changes?.change)
      : drawMixtures(context, built, data, taskLoss);
  const weigh = sampleWeights(options, steps);
  const source = askBackOf(context, built, data);
  return {
    ...(source ? { source } : {}),
    objective: curriculumObjective({
      model,
      names: data.rows.names,
      taskLoss,
      sampleWeight: options.sample_weight,
      focus: options.focus,
      recompute: options.recompute,
      groupWeights: () => (director instanceof MixtureController ? director.weights : undefined),
    }),
    controllers: [director, ...weigh, ...(changes?.controllers ?? [])],
    ...(director instanceof MixtureController ? { place: (step: number) => director.place(step) } : {}),
    ...(director instanceof MixtureController && director.stage !== undefined ? { stage: () => director.stage! } : {}),
    end: async () => director.free(),
  };
}

/** Batches with rows of the model's own, where a sampler asks for them. */
function askBackOf({ seed }: CurriculumContext, { model, tools }: Built, data: CurriculumData) {
  if (data.kind !== "sampler") return undefined;
  const { method, values } = data.bound;
  const ask = method.asksBack?.(values);
  if (!ask || ask.share === 0) return undefined;
  if (!tools) throw new UserError(`--method ${method.name} asks for answers of language models`, "leave that out");
  return askBackBatches(data.source, model, { ask, seed, tools, rows: data.rows });
}

/** What changes the rows of an ordering; freed at the end. */
function changesOf(
  { options, seed, log, onExit }: CurriculumContext,
  built: Built,
  { bound, rows, aims }: CurriculumData & { kind: "ordering" },
): RowChanges {
  const { accumulate, batch_size: batchSize } = options;
  const changes = rowChanges({ ordering: bound, rows, aims, built, accumulate, batchSize, seed, context: { log } });
  onExit(() => changes.free());
  return changes;
}

/** Lets an ordering follow the training. */
function orderRows(
  { options, seed, log, signal, info }: CurriculumContext,
  { model, steps }: Built,
  { bound, rows, scores, source }: CurriculumData & { kind: "ordering" },
  change: ChangeRows | undefined,
): RowOrder {
  const epochs = (steps * options.accumulate * options.batch_size) / rows.items.length;
  const shares = bound.method.passes?.(epochs, bound.values);
  if (shares) {
    log.event("passes", { shares });
    const percents = shares.map((share) => Number((100 * share).toPrecision(3)));
    info(`${shares.length} passes over ${percents.join(", ")} % of the rows`);
  }
  const order = new RowOrder({
    ordering: bound,
    rows,
    scores,
    model,
    batches: steps * options.accumulate,
    batchSize: options.batch_size,
    seed,
    context: { log, signal },
  });
  source.follow((epoch, done) => order.rows(epoch, done), change);
  return order;
}

/**
 * Lets a sampler, or the schedule of an earlier run, follow the training. Throws UserError where rows are weighed
 * twice.
 */
function drawMixtures(
  context: CurriculumContext,
  built: Built,
  data: CurriculumData & { kind: "sampler" | "schedule" },
  taskLoss: TaskLoss,
): MixtureController {
  const { options } = context;
  const { steps } = built;
  const method = data.kind === "sampler" ? data.bound.method.name : "replay";
  const sampler = data.kind === "sampler" ? makeSampler(context, data, built) : repeat(context, data, steps);
  if (options.sample_weight !== "uniform" && sampler.segment().weights)
    throw new UserError(
      `--sample-weight ${options.sample_weight} and --method ${method} both weigh rows`,
      "leave out --sample-weight",
    );
  const needs = data.kind === "sampler" ? (data.bound.method.needs ?? []) : [];
  const given = { method, sampler, needs, source: data.source, steps, taskLoss, context };
  if (data.kind !== "sampler" || !needs.includes("alignments")) return new MixtureController(given);
  const { seed } = context;
  const { rows, aims: held } = data;
  const measuring = new Alignments({ model: built.model, rows, held, batchSize: options.batch_size, seed });
  context.onExit(() => measuring.free());
  return new MixtureController({ ...given, alignments: (step) => measuring.measure(step) });
}

function makeSampler(
  { seed }: CurriculumContext,
  { bound, rows }: CurriculumData & { kind: "sampler" },
  { steps, gpu, model }: Built,
): Sampler {
  const { method, values } = bound;
  return method.make({ groups: rows.counts, steps, seed, gpu, values, stages: model.adapter?.stages?.count ?? 1 });
}

function repeat(
  { options, warn }: CurriculumContext,
  { schedule }: CurriculumData & { kind: "schedule" },
  steps: number,
): Sampler {
  const last = schedule.steps;
  if (last > 0 && steps > last)
    warn(`${options.schedule_from} ends at step ${last}; its last mixture is used for steps ${last + 1} to ${steps}`);
  return replay(schedule);
}

/** The number that programs of --sample-weight take: 1 / r, and 0 (all rows alike) while it warms up. */
function sampleWeights(
  { sample_weight, reweight_temp, reweight_warmup }: CurriculumContext["options"],
  steps: number,
): Controller[] {
  if (sample_weight === "uniform") return [];
  const values = (step: number) => ({ inverse_r: step <= reweight_warmup * steps ? 0 : 1 / reweight_temp });
  return [{ name: "sample weights", values, state: () => null, load() {} }];
}
