/** What the `unlearn` script does: an objective in the training loop, or an edit of weights. */

import type { CommonValues, Outcome, PlainContext } from "../cli/context.ts";
import { type Batch, collate, type TokenBatch } from "../data/batch.ts";
import { loadExamples, loadSequences } from "../data/dataset.ts";
import { parseGroups } from "../data/groups.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import { loadMethod, type MethodInfo } from "../method/registry.ts";
import type { Model } from "../model/model.ts";
import { likelihoods } from "../run/scoring/likelihoods.ts";
import { baseTeacher, liveTeacher, type Teacher } from "../run/teachers/teacher.ts";
import { causalTrace, TRACE } from "../run/tracing/causal-trace.ts";
import { drawFacts, loadFacts } from "../run/tracing/facts.ts";
import { type BatchSource, exampleBatches, sequenceBatches } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import { groupsOf } from "../run/training/data-source.ts";
import { Perturbation } from "../run/training/perturbation.ts";
import {
  type ChoiceSetup,
  type DataSetup,
  type RunContext,
  runTraining,
  type Work,
  type WorkSetup,
} from "../run/training/training.ts";
import type { UpdateRule } from "../run/training/update-rule.ts";
import { WeightAverage } from "../run/training/weight-average.ts";
import { checkLabels } from "../train/command.ts";
import {
  examplePool,
  longestOf,
  type Pool,
  pairedBatches,
  sequencePool,
  skipped,
  type UnlearnBatch,
  withSequences,
} from "./batches.ts";
import type { AdaptiveWeights, UnlearnMethod, UnlearnObjective } from "./contract.ts";
import { runEdit, writeImportance } from "./edit.ts";
import { unlearnObjective } from "./objective.ts";
import type { UNLEARN } from "./options.ts";
import type { Smoothing } from "./smoothing.ts";
import { givenAnswers, SampledAnswers } from "./wanted-answers.ts";

export type UnlearnContext = PlainContext & {
  readonly options: CommonValues & Values<typeof UNLEARN>;
  readonly method: MethodInfo | undefined;
};

export async function unlearn(context: UnlearnContext): Promise<Outcome> {
  const method = context.method as unknown as UnlearnMethod;
  if (context.args[0] === "importance") return writeImportance(context);
  if (context.args.length > 1)
    throw new UserError(`unexpected argument ${context.args[1]}`, "it takes a model, or importance and a model");
  if (method.kind === "edit") return runEdit(context, method);
  const { options } = context;
  const smoothing = options.smooth ? await loadMethod("smoothing", options.smooth, "--smooth") : undefined;
  const run = new Unlearning(context, method, smoothing);
  return runTraining<UnlearnBatch>(context as unknown as RunContext, {
    script: "unlearn",
    method: method.name,
    model: context.args[0] ?? "-",
    trains: method.asks?.(context.settings as never)
      ? (setup) => run.traced(setup)
      : method.trains?.(context.settings as never),
    data: (setup) => run.data(setup),
    work: (setup) => run.work(setup),
  });
}

/** Most rows that are traced. */
const TRACED = 32;

/** Throws UserError for an option that was given and changes nothing. */
function refuseIdle(
  options: UnlearnContext["options"],
  method: UnlearnObjective,
  smoothing: Smoothing | undefined,
): void {
  const given = smoothing ? `to --smooth ${smoothing.name}` : "without --smooth";
  if (options.rho !== undefined && !smoothing?.gradients) throw new UserError(`--rho means nothing ${given}`);
  if (options.smooth_weight !== undefined && !smoothing?.penalty)
    throw new UserError(`--smooth-weight means nothing ${given}`, "it is for --smooth gp and cr");
  if (options.average_from !== undefined && !smoothing?.average)
    throw new UserError(`--average-from means nothing ${given}`, "it is for --smooth wa");
  if (options.pd_weight !== undefined && options.pd === undefined)
    throw new UserError("--pd-weight means nothing without --pd");
  if (options.answers !== undefined && !method.pairs)
    throw new UserError(`--answers means nothing to ${method.name}`, "it is for dpo");
}

/** What a saved run tells of itself. */
type Saved = {
  readonly adaptive: never;
  readonly reference: number[];
  readonly wanted: number[];
  readonly answers?: number[][];
};

/** What one run holds between reading its options and training. */
class Unlearning {
  readonly #context: UnlearnContext;
  readonly #method: UnlearnObjective;
  readonly #smoothing: Smoothing | undefined;
  readonly #weights: { forget: number; retain: number };
  readonly #retain: "nll" | "kl" | "states" | "none";
  /** The rows to forget, and what is wanted instead, in order. */
  #sequences: readonly Sequence[] = [];
  #wanted: readonly Sequence[] = [];
  #sampled: SampledAnswers | undefined;
  /** theta0's likelihoods of both. */
  #reference: number[] = [];
  #wantedReference: number[] = [];
  #pad = 0;

  constructor(context: UnlearnContext, method: UnlearnObjective, smoothing: Smoothing | undefined) {
    const { options } = context;
    this.#context = context;
    this.#method = method;
    this.#smoothing = smoothing;
    this.#weights = {
      forget: options.forget_weight ?? method.weights.forget,
      retain:
        options.retain_weight ?? (options.retain_loss ? Math.max(method.weights.retain, 1) : method.weights.retain),
    };
    const usual = method.retain === undefined || method.retain === "none" ? "nll" : method.retain;
    this.#retain = this.#weights.retain === 0 && !method.adaptive ? "none" : (options.retain_loss ?? usual);
    if (this.#retain !== "none" && !options.retain)
      throw new UserError(
        "--retain is missing",
        `give rows to keep, or --retain-weight 0 for ${method.name} without them`,
      );
    if (this.#weights.forget === 0 && this.#retain === "none" && options.pd === undefined)
      throw new UserError(`--forget-weight 0 leaves ${method.name} nothing to learn`);
    refuseIdle(options, method, smoothing);
    if (method.adaptive && this.#retain === "none")
      throw new UserError(
        `--retain-loss none leaves ${method.name} nothing to follow`,
        "its retain weight follows the retain loss",
      );
    if (options.retain && this.#retain === "none")
      context.warn(`${method.name} has no retain term here: --retain is not used; --retain-weight 1 adds one`);
    if (method.trains && (options.lora || options.lora_continue))
      throw new UserError(
        `${method.name} chooses the weights it trains, and --lora trains others`,
        "leave out --lora, or take grad-diff with --lora-targets",
      );
    const again = method.asks?.(context.settings as never)
      ? "tracing"
      : method.pairs || method.alternatives
        ? method.name
        : undefined;
    if (again !== undefined && parseGroups(options.forget ?? []).some(({ path }) => path === "-"))
      throw new UserError(`rows from stdin cannot be read twice, as ${again} asks for`, "write them to a file first");
    if (smoothing?.average && options.eval_data)
      context.warn("--smooth wa: held-out losses and --best are of the weights on the way, not of their mean");
    if (options.anchor === "retain" && !options.retain) throw new UserError("--anchor retain needs --retain");
  }

  /** Reads all rows. */
  async data({ tools, sizes, order, task }: DataSetup): Promise<BatchSource<UnlearnBatch>> {
    const { options, seed, settings } = this.#context;
    const method = this.#method;
    method.check?.(settings as never, sizes);
    const groups = groupsOf(options.forget, "--forget");
    const kept = options.retain ? parseGroups(options.retain) : undefined;
    const swap = options.anchor === "retain";
    if (!tools) {
      if (options.pd) throw new UserError(`--pd is for language models; this is a ${task}`);
      const perBlock = method.trains !== undefined && !options.train_only;
      if (method.reference === "likelihoods" || method.per === "sequence-mean" || perBlock)
        throw new UserError(
          `${method.name} is for language models; this is a ${task}`,
          "grad-diff, kl-min and ssd are for classifiers too",
        );
      const own = await loadExamples(groups);
      const others = kept && (await loadExamples(kept));
      checkLabels([...own, ...(others ?? [])], sizes.outputs, sizes.example);
      const anchor = await exampleBatches(swap ? kept! : groups, order);
      const drawn = swap ? examplePool(own, seed, "forget") : others && examplePool(others, seed, "retain");
      return pairedBatches(anchor, { drawn, pd: undefined, swap, finish: (batch) => batch });
    }
    this.#pad = tools.tokenizer?.pad ?? 0;
    const skip = options.skip_tokens ?? method.skip ?? 0;
    const forget = await loadSequences(groups, tools.encode);
    const given = method.alternatives?.(settings as never);
    if (given) this.#sampled = await SampledAnswers.of(forget.sequences, groups, tools, given);
    this.#sequences = skipped(this.#sampled?.sequences ?? forget.sequences, skip);
    if (!this.#sequences.some(({ labels }) => labels.some((label, i) => i > 0 && label >= 0)))
      throw new UserError(
        skip > 0 ? `the first ${skip} tokens left out, no row of --forget has any` : "no token of --forget counts",
        skip > 0 ? "give a smaller --skip-tokens" : "rows need an answer beside their prompt",
      );
    const others = kept && (await loadSequences(kept, tools.encode));
    if (method.pairs)
      this.#wanted = await givenAnswers(this.#sequences, groups, tools, options.answers ?? "refusal", seed);
    else if (this.#sampled) this.#wanted = this.#sampled.wanted;
    const pool = (sequences: readonly Sequence[] | undefined, name: string): Pool | undefined =>
      sequences && sequencePool(sequences, seed, this.#pad, name);
    const pdRows = options.pd && (await loadSequences(parseGroups([options.pd]), tools.encode)).sequences;
    const anchor = sequenceBatches(swap ? others! : withSequences(forget, this.#sequences), order, this.#pad);
    const at = new Map(this.#sequences.map((sequence, i) => [sequence, i]));
    const finish = (batch: UnlearnBatch, largest: boolean): UnlearnBatch => {
      const rows = (batch.forget as TokenBatch).documents.map(({ sequence }) => at.get(sequence) ?? 0);
      const numbers = (list: readonly number[]) => Float32Array.from(rows, (i) => list[i] ?? 0);
      const wanted = (i: number) => (largest ? longestOf(this.#wanted) : this.#wanted[i]!);
      return {
        ...batch,
        ...(method.reference === "likelihoods" ? { reference: numbers(this.#reference) } : {}),
        ...(this.#wanted.length > 0
          ? {
              wanted: collate(
                rows.map((i) => [wanted(i)]),
                { pad: this.#pad },
              ),
              wantedReference: numbers(this.#wantedReference),
            }
          : {}),
      };
    };
    return pairedBatches(anchor as BatchSource<Batch>, {
      drawn: swap ? pool(this.#sequences, "forget") : pool(others?.sequences, "retain"),
      pd: pool(pdRows || undefined, "pd"),
      swap,
      finish,
    });
  }

  /** The weights that a method trains where it asks which blocks of the model hold the rows to forget. */
  async traced({ model, tools }: ChoiceSetup): Promise<readonly string[]> {
    const { options, settings, seed, signal, progress } = this.#context;
    const groups = groupsOf(options.forget, "--forget");
    const facts = (await Promise.all(groups.map((group) => loadFacts(group, tools!.encode)))).flat();
    const drawn = drawFacts(facts, TRACED, seed);
    progress.start({ total: drawn.length, unit: "rows" });
    const effects = await causalTrace(model, drawn, {
      ...TRACE,
      all: false,
      seed,
      signal,
      done: () => progress.advance(1),
    });
    progress.done();
    const trains = this.#method.trains!(settings as never, effects);
    const blocks = new Set(trains.map((name) => /\.(\d+)\./.exec(name)?.[1]));
    this.#context.info(`traced ${drawn.length} rows; training block ${[...blocks].join(", ")}`);
    return trains;
  }

  async work(setup: WorkSetup<UnlearnBatch>): Promise<Work<UnlearnBatch>> {
    const { options, settings, seed, signal } = this.#context;
    const { gpu, model, steps, source } = setup;
    const method = this.#method;
    const smoothing = this.#smoothing;
    const needsOutputs = method.reference === "logits" || this.#retain === "kl" || this.#retain === "states";
    if (needsOutputs && options.lora_continue)
      throw new UserError(
        "the model as it was is the base with its adapter, which --lora-continue changes",
        "merge the adapter into the base first, or take a method without theta0's outputs, such as npo",
      );
    const original: Teacher | undefined = !needsOutputs
      ? undefined
      : options.lora
        ? baseTeacher(model)
        : liveTeacher(await setup.original(), model.sizes.outputs);
    if (this.#sampled && !this.#context.dryRun && !setup.resumed) await this.#sample(this.#sampled, model);
    if (method.reference === "likelihoods" && !this.#context.dryRun && !setup.resumed) {
      const how = { rows: options.batch_size, pad: this.#pad, signal };
      this.#reference = await likelihoods(model, this.#sequences, how);
      this.#wantedReference = await likelihoods(model, this.#wanted, how);
    }
    const parts = (["forget", "retain", "pd"] as const).filter(
      (part) => part === "forget" || (part === "retain" ? this.#retain !== "none" : options.pd !== undefined),
    );
    const perEpoch = Math.ceil(source.batchesPerEpoch / options.accumulate);
    const weights = this.#weights;
    const adaptive = method.adaptive?.({ values: settings as never, weights, steps, perEpoch });
    const { average_from: first = 1 } = options;
    if (first > steps) throw new UserError(`--average-from ${first}: the run has ${steps} steps`);
    const average = smoothing?.average ? new WeightAverage(gpu, model.trainable(), { from: first }) : undefined;
    const moved = smoothing?.gradients ? new Perturbation(gpu, model.trainable(), smoothing.keeps ?? []) : undefined;
    return {
      objective: unlearnObjective({
        model,
        method,
        values: settings,
        retain: this.#retain,
        original,
        parts,
        recompute: options.recompute,
        seed,
      }),
      controllers: [this.#controller(adaptive)],
      updates: [...(moved ? [this.#smoothed(smoothing!, moved)] : []), ...(average ? [average] : [])],
      memory: original && original.bytes > 0 ? { original: original.bytes } : {},
      free: () => original?.free(),
    };
  }

  async #sample(sampled: SampledAnswers, model: Model): Promise<void> {
    const { options, seed, signal } = this.#context;
    const same = await sampled.sample(model, { seed, batch: options.batch_size, signal });
    this.#wanted = sampled.wanted;
    const all = sampled.wanted.length;
    if (same === all)
      throw new UserError(
        "every sampled answer is the one to forget",
        "raise --temperature, give an --instruction, or write other answers and take --method dpo --answers alternative",
      );
    if (same > 0)
      this.#context.warn(
        `${same} of ${all} sampled answers are the ones to forget; a higher --temperature gives others`,
      );
  }

  #smoothed(smoothing: Smoothing, weights: Perturbation): UpdateRule {
    const { options, seed } = this.#context;
    const [rho, c] = [options.rho ?? smoothing.rho, options.smooth_weight ?? 10];
    return {
      name: "smoothing",
      parts: ["forget"],
      part: (step, pass) => smoothing.gradients!(weights, pass, { rho, c, seed: seed + step }),
      bytes: weights.bytes,
      free: () => weights.free(),
    };
  }

  #controller(adaptive: AdaptiveWeights | undefined): Controller {
    const { options } = this.#context;
    return {
      name: "unlearning",
      logged: adaptive !== undefined,
      values: (step) => {
        const { forget, retain } = adaptive?.weights(step) ?? this.#weights;
        return { forget_weight: forget, retain_weight: retain, pd_weight: options.pd_weight ?? 0.5 };
      },
      ...(adaptive?.heard ? { heard: ({ metrics, step }) => adaptive.heard!(metrics, step) } : {}),
      state: () => ({
        ...(this.#sampled ? { answers: this.#sampled.state() } : {}),
        adaptive: adaptive?.state() ?? null,
        reference: this.#reference,
        wanted: this.#wantedReference,
      }),
      load: (state) => {
        const saved = state as Saved;
        if (this.#sampled) {
          this.#sampled.load(saved.answers!);
          this.#wanted = this.#sampled.wanted;
        }
        if (adaptive) adaptive.load(saved.adaptive);
        this.#reference = saved.reference;
        this.#wantedReference = saved.wanted;
      },
    };
  }
}
