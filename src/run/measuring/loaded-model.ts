/** Loads models and measures them, for evaluations, attacks, probes and searches alike. */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { Batch } from "../../data/batch.ts";
import type { Example, ExampleReader } from "../../data/examples.ts";
import type { GroupReference } from "../../data/groups.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { LoadIn } from "../../model/held-codes.ts";
import { Model } from "../../model/model.ts";
import type { PageStoreOptions } from "../../tensor/paging/page-kind.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { CombinedRows } from "../combining/combined-rows.ts";
import { CombinedScorer } from "../combining/combined-scorer.ts";
import { CombinedSource } from "../combining/combined-source.ts";
import type { Rule } from "../combining/contract.ts";
import { Gate } from "../mixing/gate.ts";
import { scorePreferences } from "../rewarding/preferences.ts";
import { type Reader, readForScoring, type ScoringData } from "../scoring/read-rows.ts";
import { recordOutputs } from "../scoring/recorded-outputs.ts";
import { scorePairs } from "../scoring/score-pairs.ts";
import { type ScoreOptions, scoreExamples } from "../scoring/score-rows.ts";
import { readingsOf, scoreText } from "../scoring/score-text.ts";
import type { Need, ScoredRow } from "../scoring/scored-row.ts";
import { Scorer } from "../scoring/scorer.ts";
import { withLikeness } from "../scoring/text-vectors.ts";
import type { TextOptions, TextTools } from "../text-tools.ts";
import { untrainedModel } from "../untrained.ts";
import { type BoundMetric, needsOf } from "./metric.ts";
import { checkMixedNeeds, type MixedWith } from "./mixed-model.ts";
import { embedsOf, prepare } from "./model-checks.ts";
import { quantized, type Rounding } from "./quantized-checkpoint.ts";

/** What rows are read and judged by in place of the groups of data: a task file. */
export interface RowTask {
  /** The rows as a model reads them. Throws UserError for a model that cannot. */
  read(reader: Reader): ScoringData;
  /** Adds what each row is worth. */
  finish(rows: readonly ScoredRow[]): Promise<ScoredRow[]>;
}

export interface LoaderOptions {
  readonly gpu: Gpu;
  readonly metrics: readonly BoundMetric[];
  readonly task?: RowTask | undefined;
  readonly options: TextOptions & {
    readonly dtype: "f32" | "bf16" | "keep";
    readonly batch_size: number;
    readonly max_tokens: number;
    readonly stop?: readonly string[] | undefined;
    readonly offload?: boolean | undefined;
    readonly load_in?: LoadIn | undefined;
  };
  readonly experts?: PageStoreOptions | undefined;
  readonly signal: AbortSignal;
  /** Hears how many rows there are to do where a technique announces it, how many are done, and of which model. */
  readonly progress: {
    start(plan: { readonly total: number; readonly unit: string }): void;
    advance(rows: number, ref: string): void;
  };
  /** Hears a message as often as it comes up: once a model, a measurement. */
  readonly warn: (message: string) => void;
}

/** A rule over several views, and its models after the first. */
export interface CombinedWith {
  readonly rule: Rule;
  readonly others: readonly Checkpoint[];
}

export interface LoadOptions {
  /** Rounds the matrices of layers to so many bits, or to a number format. */
  readonly bits?: Rounding | undefined;
  /** Weights can be trained, and are held in f32. */
  readonly trained?: boolean;
  /** What `prepare` gave for it, if it was called. */
  readonly reader?: Reader;
  /** Another model whose outputs are mixed in; `checkMixed` has said that they can be. */
  readonly mixed?: MixedWith | undefined;
  /** Models whose outputs a rule combines with those of a language model; `checkTogether` has said that it can be. */
  readonly combined?: CombinedWith | undefined;
  /** A language model that is compared with it at every place; `checkDraft` has said that it can be. */
  readonly draft?: Checkpoint | undefined;
  /** A language model that says how alike generated answers and right ones are. */
  readonly encoder?: Checkpoint | undefined;
}

export interface ScoringOptions {
  /** Called with every batch, for dumps. */
  readonly visit?: ((batch: Batch) => Promise<void>) | undefined;
  /** What the model reads the groups as, if they have been read. */
  readonly data?: ScoringData | undefined;
}

/** A model on the GPU that can be measured again and again. */
export interface LoadedModel {
  readonly ref: string;
  readonly model: Model;
  /** Of a language model. */
  readonly tools: TextTools | undefined;
  /** What a classifier takes. */
  readonly examples: ExampleReader;
  /** Records what the model, mixed with the other where there is one, says of a classifier's inputs: (B, classes). */
  readonly logits: (rec: Recorder, inputs: Inputs) => Tensor;
  /**
   * Every row as the model, as it is now, scores it. Warns of groups whose loss is not finite, and of choices that were
   * cut away.
   */
  score(groups: readonly GroupReference[], options?: ScoringOptions): Promise<ScoredRow[]>;
  free(): Promise<void>;
}

/**
 * Loads one model after the other for the same metrics.
 *
 *   const loaded = await loader.load(checkpoint, { trained: true });
 *   const rows = await loaded.score(groups);
 *   await loaded.free();
 */
export class ModelLoader {
  readonly #options: LoaderOptions;
  #announced: ((readings: number) => number) | undefined;

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  /** Counts rows of the model as done. */
  tick(ref: string, rows = 1): void {
    this.#options.progress.advance(rows, ref);
  }

  /**
   * Says how much a technique has to do, in readings of rows: a function of how many one scoring takes, which is known
   * once the rows of the first are read.
   */
  announce(total: (readings: number) => number): void {
    this.#announced = total;
  }

  /** Says how much there is to do where nothing is scored. */
  begin(total: number, unit: string): void {
    this.#options.progress.start({ total, unit });
  }

  #read(data: ScoringData, needs: ReadonlySet<Need>): void {
    const total = this.#announced?.(readingsOf(data, needs));
    this.#announced = undefined;
    if (total !== undefined) this.begin(total, "readings of rows");
  }

  get gpu(): Gpu {
    return this.#options.gpu;
  }

  /** Throws as `prepare` does. */
  async load(
    checkpoint: Checkpoint,
    { bits, trained = false, reader, mixed, combined, draft, encoder }: LoadOptions = {},
  ): Promise<LoadedModel> {
    const { gpu, metrics, options, signal, progress, warn, task, experts } = this.#options;
    const needs = needsOf(metrics);
    const isTrainable = trained || needs.has("gradient");
    const source = reader ?? (await prepare(checkpoint, metrics, options, warn));
    const { tools } = source;
    const loadOne = (from: Checkpoint) =>
      Model.load(gpu, bits === undefined ? from : quantized(from, bits), {
        dtype: isTrainable ? "f32" : options.dtype,
        embeds: embedsOf(metrics),
        freeze: () => !isTrainable,
        offload: options.offload,
        loadIn: options.load_in,
        experts,
        warn,
      });
    const model = await loadOne(checkpoint);
    const stored = mixed?.gate;
    const gate = stored && Gate.of(gpu, stored.settings, stored.values);
    const other = mixed && { ...mixed, gate, model: await loadOne(mixed.checkpoint) };
    const ahead = draft && (await loadOne(draft));
    const judge = encoder && (await loadOne(encoder));
    const judgeReader = encoder && (await prepare(encoder, [], options, warn));
    const { ref } = checkpoint;
    const gives = { moments: needs.has("moments"), probabilities: needs.has("probabilities") };
    const views = combined && (await loadViews(combined, model, loadOne));
    const scorer = views
      ? new CombinedScorer(new CombinedRows(combined.rule, views, tools?.tokenizer?.pad ?? 0), gives)
      : new Scorer(model, undefined, { ...gives, mixed: other, draft: ahead });
    const refs = [checkpoint, ...(combined?.others ?? [])].map((one) => one.ref);
    const writer = views && (() => new CombinedSource(combined.rule, views, { refs }));
    const score = async (groups: readonly GroupReference[], { visit, data }: ScoringOptions) => {
      const { max_tokens: maxTokens, stop = [], batch_size: rows } = options;
      const done = (n: number) => progress.advance(n, ref);
      const common = { ref, rows, scorer, signal, done, ...(visit ? { visit } : {}) };
      const read = data ?? task?.read(source) ?? (await readForScoring(groups, source, needs));
      if (mixed && read.kind === "text" && read.questions) checkMixedNeeds(new Set(["generated"]));
      this.#read(read, needs);
      if (read.kind === "text") for (const remark of read.remarks ?? []) warn(remark);
      if (read.kind === "examples" && model.task === "embedder") return scorePairs(model, read.examples, common);
      if (read.kind === "examples") {
        const scored = await scoreExamples(model, read.examples, common);
        return needs.has("untrained") ? besideUntrained(model, scored, read.examples, common) : scored;
      }
      if (!tools) return scorePreferences(model, read, source.answers!, common);
      return scoreText(model, read, tools, { ...common, needs, maxTokens, stop, source: writer });
    };
    return {
      ref,
      model,
      tools,
      examples: source.examples,
      logits: (rec, inputs) => recordOutputs(rec, inputs, model, other)(0),
      score: async (groups, scoring = {}) => {
        const found = await score(groups, scoring);
        const finished = (await task?.finish(found)) ?? found;
        const tokenizer = judgeReader?.tools?.tokenizer;
        const scored =
          judge && tokenizer
            ? await withLikeness(finished, judge, tokenizer, { rows: options.batch_size, signal })
            : finished;
        for (const text of unknownScores(ref, scored, groups, needs.has("choice") || needs.has("preference")))
          warn(text);
        return scored;
      },
      async free() {
        await scorer.free();
        other?.model.free();
        ahead?.free();
        judge?.free();
        for (const view of views?.slice(1) ?? []) view.free();
        gate?.free();
        model.free();
      },
    };
  }
}

/** Rows with what a model of the same form says of them that never learnt anything. */
async function besideUntrained(
  model: Model,
  scored: readonly ScoredRow[],
  examples: readonly Example[],
  { ref, rows, signal }: Pick<ScoreOptions, "ref" | "rows" | "signal">,
): Promise<ScoredRow[]> {
  const other = await untrainedModel(model, 0);
  const scorer = new Scorer(other, undefined, { probabilities: true });
  const said = await scoreExamples(other, examples, { ref: `${ref} without training`, rows, signal, scorer });
  await scorer.free();
  other.free();
  return scored.map((row, i) => ({ ...row, untrained: said[i]!.probabilities! }));
}

/** The models of a rule, the measured one first. */
async function loadViews(
  { others }: CombinedWith,
  model: Model,
  load: (from: Checkpoint) => Promise<Model>,
): Promise<Model[]> {
  const views = [model];
  for (const other of others) views.push(await load(other));
  return views;
}

/** What to say of every group with scores that are unknown. */
function unknownScores(
  ref: string,
  rows: readonly ScoredRow[],
  groups: readonly GroupReference[],
  hasChoices: boolean,
): string[] {
  return groups.flatMap(({ name }, group) => {
    const own = rows.filter((row) => row.group === group);
    const count = (is: (row: ScoredRow) => boolean) => own.filter(is).length;
    const odd = count(({ nll }) => nll.some((loss) => !Number.isFinite(loss)));
    const cut = hasChoices ? count(({ choice }) => choice === undefined) : 0;
    const of = `of ${own.length} rows of the group ${name}`;
    return [
      ...(odd > 0 ? [`the loss of ${ref} is not finite on ${odd} ${of}`] : []),
      ...(cut > 0 ? [`${cut} ${of} are left out: one of their choices is longer than what ${ref} reads`] : []),
    ];
  });
}
