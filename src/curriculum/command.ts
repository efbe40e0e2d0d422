/** What the `curriculum` script does: the training loop under a sampler or an ordering; and the sub-commands graph, select and plan. */
import { readFileSync } from "node:fs";
import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import { collate, stackExamples } from "../data/batch.ts";
import { inBatches, loadExamples, loadSequences } from "../data/dataset.ts";
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import type { Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Model } from "../model/model.ts";
import { Scorer } from "../run/scoring/scorer.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import { groupsOf } from "../run/training/data-source.ts";
import type { HeldOut } from "../run/training/held-out.ts";
import { type DataSetup, type RunContext, runTraining, type Work, type WorkSetup } from "../run/training/training.ts";
import { checkLabels } from "../train/command.ts";
import { graph } from "./commands/graph.ts";
import { select } from "./commands/select.ts";
import { planTraining } from "./compute-plan.ts";
import type { OrderingMethod, Sampler, SamplerMethod } from "./contract.ts";
import { checkHeldOut, groupLosses } from "./losses.ts";
import { curriculumObjective, type TaskLoss } from "./objective.ts";
import type { CURRICULUM } from "./options.ts";
import { checkOwnOptions } from "./own-options.ts";
import { readSchedule, replay, type Schedule } from "./replay.ts";
import { type CurriculumBatch, MixtureSource, OrderedSource, type Rows, rowsOf } from "./source.ts";
import { textResult } from "./text-result.ts";

export type CurriculumContext = PlainContext & {
  readonly options: CommonValues & Values<typeof CURRICULUM>;
  readonly method: MethodInfo | undefined;
};

export async function curriculum(context: CurriculumContext): Promise<Outcome> {
  const { options } = context;
  const [first, second] = context.args;
  if (second !== undefined && first !== "graph" && first !== "select")
    throw new UserError(`unexpected argument ${second}`, "it takes one model, or graph or select and a model, or plan");
  checkOwnOptions(context, first === "graph" || first === "select" || first === "plan" ? first : undefined);
  if (first === "plan") return plan(context);
  if (first === "graph") return graph(context);
  if (first === "select") return select(context);
  const run = new Curriculum(context);
  return runTraining<CurriculumBatch>(context as unknown as RunContext, {
    script: "curriculum",
    method: options.schedule_from === undefined ? context.method!.name : "replay",
    model: first ?? (options.init === undefined ? "-" : undefined),
    data: (setup) => run.data(setup),
    work: (setup) => run.work(setup),
  });
}

/** Reads the groups of --data into memory. */
export async function readRows(
  { options }: CurriculumContext,
  { tools, sizes }: Pick<DataSetup, "tools" | "sizes">,
): Promise<Rows> {
  const groups = groupsOf(options.data, "--data");
  const names = groups.map(({ name }) => name);
  if (tools) return rowsOf(names, (await loadSequences(groups, tools.encode)).sequences, tools.tokenizer?.pad ?? 0);
  const examples = await loadExamples(groups);
  const empty = groups.find((_, i) => !examples.some(({ group }) => group === i));
  if (empty) throw new UserError(`the group ${empty.name} has no rows`, `fill ${empty.path}, or leave it out`);
  checkLabels(examples, sizes.outputs, sizes.example);
  return rowsOf(names, examples, 0);
}

/** Reads --graph: a matrix, or an object with `groups` and `graph`. Throws UserError. */
export function readGraph(file: string, names: readonly string[]): number[][] {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new UserError(
      `--graph ${file} cannot be read: ${(error as Error).message}`,
      "make one: bun run curriculum graph",
    );
  }
  const { groups, graph: matrix } = (Array.isArray(json) ? { graph: json } : json) as {
    groups?: string[];
    graph?: number[][];
  };
  const valid =
    Array.isArray(matrix) && matrix.every((row) => Array.isArray(row) && row.every((x) => typeof x === "number"));
  if (!valid) throw new UserError(`--graph ${file} holds no matrix of numbers`, "make one: bun run curriculum graph");
  if (!groups) return matrix;
  if (matrix.length !== groups.length || matrix.some((row) => row.length !== groups.length))
    throw new UserError(
      `--graph ${file} is ${matrix.length} x ${matrix[0]?.length ?? 0} but names ${groups.length} groups`,
      "one row and one column per group",
    );
  const places = names.map((name) => groups.indexOf(name));
  const missing = names.find((_, i) => places[i]! < 0);
  if (missing !== undefined)
    throw new UserError(`--graph ${file} does not know the group ${missing}`, `it knows ${groups.join(", ")}`);
  return places.map((i) => places.map((j) => matrix[i]![j]!));
}

class Curriculum {
  readonly #context: CurriculumContext;
  #rows: Rows | undefined;
  #schedule: Schedule | undefined;
  #source: MixtureSource | OrderedSource | undefined;
  #model: Model | undefined;
  #steps = 1;
  #scores: Float64Array | undefined;
  #scorer: Scorer | undefined;

  constructor(context: CurriculumContext) {
    this.#context = context;
    const { options } = context;
    if (options.graph !== undefined && !(this.#method as SamplerMethod).graph)
      throw new UserError(`${this.#method.name} reads no --graph`, "leave it out");
    if (options.sample_weight !== "uniform" && options.accumulate > 1)
      throw new UserError(
        "--sample-weight compares the rows of one batch",
        "give a larger --batch-size instead of --accumulate",
      );
    if (options.sample_weight !== "uniform" && (options.task_loss ?? "token-mean") !== "token-mean")
      throw new UserError(
        `--sample-weight ${options.sample_weight} and --task-loss ${options.task_loss} both say what rows weigh`,
        "leave one of them out",
      );
  }

  get #method(): SamplerMethod | OrderingMethod {
    return this.#context.method as unknown as SamplerMethod | OrderingMethod;
  }
  get #isOrdering(): boolean {
    return this.#context.options.schedule_from === undefined && "rows" in this.#method;
  }

  get #taskLoss(): TaskLoss {
    const { task_loss, schedule_from } = this.#context.options;
    const own = schedule_from === undefined ? (this.#method as SamplerMethod).taskLoss : this.#schedule?.taskLoss;
    return task_loss ?? own ?? "token-mean";
  }

  async data(setup: DataSetup): Promise<BatchSource<CurriculumBatch>> {
    const { options, seed } = this.#context;
    const rows = await readRows(this.#context, setup);
    this.#rows = rows;
    if (options.schedule_from !== undefined) this.#schedule = readSchedule(options.schedule_from, rows.names);
    this.#source = this.#isOrdering
      ? new OrderedSource(rows, {
          batchSize: options.batch_size,
          seed,
          order: (epoch, done) => this.#order(epoch, done),
        })
      : new MixtureSource(rows, { batchSize: options.batch_size, seed, shuffle: options.shuffle });
    return this.#source;
  }

  /** The rows of a pass, from an ordering; scores are measured when it asks for them. */
  async #order(epoch: number, batches: number): Promise<Uint32Array> {
    const method = this.#method as OrderingMethod;
    const { seed, settings, options } = this.#context;
    const rows = this.#rows!;
    if (method.needs === "live" || (method.needs === "scores" && !this.#scores)) this.#scores = await this.#losses();
    const done = Math.min(1, batches / (this.#steps * options.accumulate));
    const order = method.rows({
      lengths: rows.lengths,
      ...(this.#scores ? { scores: this.#scores } : {}),
      done,
      epoch,
      seed,
      values: settings as never,
    });
    this.#context.log.event("pass", { epoch, rows: order.length, done });
    return order;
  }

  /** Mean loss of every row under the model as it is. */
  async #losses(): Promise<Float64Array> {
    const rows = this.#rows!;
    // Kept from pass to pass: its programs are compiled once.
    this.#scorer ??= new Scorer(this.#model!);
    const losses = new Float64Array(rows.items.length);
    let at = 0;
    for await (const part of inBatches(rows.items, this.#context.options.batch_size)) {
      this.#context.signal.throwIfAborted();
      const batch =
        "ids" in part[0]! ? collate(part.map((sequence) => [sequence as never])) : stackExamples(part as never);
      const { nll, targets } = await this.#scorer.score(batch);
      const width = nll.length / part.length;
      for (let row = 0; row < part.length; row++) {
        let [sum, count] = [0, 0];
        for (let i = row * width; i < (row + 1) * width; i++) {
          if (targets[i]! < 0) continue;
          sum += nll[i]!;
          count++;
        }
        losses[at++] = sum / Math.max(1, count);
      }
    }
    return losses;
  }

  async work({ model, steps }: WorkSetup<CurriculumBatch>): Promise<Work<CurriculumBatch>> {
    const { options } = this.#context;
    this.#model = model;
    this.#steps = steps;
    const rows = this.#rows!;
    const sampler = this.#isOrdering ? undefined : this.#sampler(steps);
    let weights: readonly number[] | undefined;
    return {
      objective: curriculumObjective({
        model,
        names: rows.names,
        taskLoss: this.#taskLoss,
        sampleWeight: options.sample_weight,
        focus: options.focus,
        recompute: options.recompute,
        groupWeights: () => weights,
      }),
      controllers: [
        this.#controller(sampler, steps, (now) => {
          weights = now;
        }),
      ],
      end: async () => this.#scorer?.free(),
    };
  }

  #sampler(steps: number): Sampler {
    const { options, settings, seed, warn } = this.#context;
    const rows = this.#rows!;
    if (this.#schedule) {
      const { steps: told } = this.#schedule;
      if (told > 0 && steps > told)
        warn(
          `${options.schedule_from} ends at step ${told}; steps ${told + 1} to ${steps} are drawn by its last mixture`,
        );
      return replay(this.#schedule);
    }
    const method = this.#method as SamplerMethod;
    const graph = options.graph === undefined ? undefined : readGraph(options.graph, rows.names);
    return method.make({ groups: rows.counts, steps, seed, values: settings as never, ...(graph ? { graph } : {}) });
  }

  /** Follows the sampler's segments: sets the mixture, counts steps, and tells it what it asks for. */
  #controller(
    sampler: Sampler | undefined,
    steps: number,
    weigh: (weights: readonly number[] | undefined) => void,
  ): Controller {
    const { options, log, warn } = this.#context;
    const { names } = this.#rows!;
    const taskLoss = this.#taskLoss;
    const needs = options.schedule_from === undefined ? (this.#method as SamplerMethod).needs : undefined;
    const who = this.#method?.name ?? "replay";
    const source = this.#source as MixtureSource;
    const inverse = (step: number) => (step <= options.reweight_warmup * steps ? 0 : 1 / options.reweight_temp);
    const values = (step: number) => ({ inverse_r: inverse(step) });
    if (!sampler) {
      // Scores of the start cannot be measured again.
      const load = (state: Json) => {
        if (Array.isArray(state)) this.#scores = Float64Array.from(state as number[]);
      };
      return { name: "ordering", values, state: () => (this.#scores ? [...this.#scores] : null), load };
    }
    if (options.sample_weight !== "uniform" && sampler.segment().weights)
      throw new UserError(
        `--sample-weight ${options.sample_weight} and --method ${who} both weigh rows`,
        "leave --sample-weight out",
      );
    let since = 0; // step at which the segment began
    let before = names.map(() => 0); // rows drawn until then
    let warned = false;
    const training = names.map(() => ({ sum: 0, count: 0 }));
    const enter = (step: number, tell = true) => {
      const { probs, weights } = sampler.segment();
      source.probs = probs;
      weigh(weights);
      since = step;
      before = [...source.drawn];
      for (const group of training) Object.assign(group, { sum: 0, count: 0 });
      const notes = sampler.notes?.() ?? {};
      // What the run did comes last: no note of a sampler may stand in for it.
      const weighed = weights ? { weights, ...(taskLoss === "token-mean" ? {} : { task_loss: taskLoss }) } : {};
      if (tell) log.event("mixture", { ...notes, step, groups: names, probs, ...weighed });
      if (typeof notes.warning === "string" && !warned) {
        warn(notes.warning);
        warned = true;
      }
    };
    const hear = async (step: number, held: HeldOut | undefined) => {
      sampler.update({
        step,
        drawn: source.drawn.map((n, i) => n - before[i]!),
        ...(needs === "losses" ? { losses: await groupLosses(checkHeldOut(held, names, who), names) } : {}),
        ...(needs === "training" ? { training: training.map(({ sum, count }) => sum / count) } : {}),
      });
    };
    const ends = (step: number) => step - since >= sampler.segment().steps;
    return {
      name: "sampler",
      values,
      async begin(held) {
        if (needs === "losses") checkHeldOut(held, names, who);
        while (sampler.segment().steps === 0) await hear(0, held);
        enter(0);
      },
      ...(needs === "training"
        ? {
            heard: ({ metrics }: { metrics: Readonly<Record<string, number>> }) => {
              for (const [g, name] of names.entries()) {
                const loss = metrics[`loss.${name}`];
                if (loss === undefined) continue;
                training[g]!.sum += loss;
                training[g]!.count++;
              }
            },
          }
        : {}),
      due: (step) => step < steps && ends(step),
      async after(step, held) {
        await hear(step, held);
        enter(step);
      },
      state: () => ({ sampler: sampler.state(), since, before, training }) as unknown as Json,
      load: (state) => {
        const saved = state as unknown as { sampler: Json; since: number; before: number[]; training: typeof training };
        sampler.load(saved.sampler);
        enter(saved.since, false);
        before = saved.before;
        for (const [g, group] of saved.training.entries()) Object.assign(training[g]!, group);
      },
    };
  }
}

/** `curriculum plan`: sizes of model and data from compute; needs no GPU. */
async function plan(context: CurriculumContext): Promise<Outcome> {
  const result = textResult(context, []);
  const { flops, parameters, tokens, tokens_per_param, batch_size, max_length } = context.options;
  const found = planTraining({
    ...(flops === undefined ? {} : { flops }),
    ...(parameters === undefined ? {} : { parameters }),
    ...(tokens === undefined ? {} : { tokens }),
    tokensPerParameter: tokens_per_param,
    batchTokens: batch_size * (max_length ?? 1024),
  });
  context.log.event("result", { value: found });
  const { advice, ...numbers } = found;
  const text = [
    ...Object.entries(numbers)
      .filter(([name]) => name !== "epochs" || tokens !== undefined)
      .map(
        ([name, value]) =>
          `${name.replaceAll(/([A-Z])/g, " $1").toLowerCase()}: ${Number((value as number).toPrecision(6))}`,
      ),
    ...advice,
  ].join("\n");
  return result(context.options.json ? JSON.stringify(found, null, 2) : text, { ...found });
}
