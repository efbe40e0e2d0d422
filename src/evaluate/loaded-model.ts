/** Loads models and measures them, for evaluations, attacks and probes alike. */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Progress } from "../cli/progress.ts";
import type { Batch } from "../data/batch.ts";
import type { GroupReference } from "../data/groups.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Model } from "../model/model.ts";
import { scoreExamples, scoreText } from "../run/scoring/score-rows.ts";
import { Scorer } from "../run/scoring/scorer.ts";
import type { TextOptions, TextTools } from "../run/training/data-source.ts";
import { countedRows, type Metric, type MetricContext, type Need, type ScoredRow } from "./contract.ts";
import { prepare } from "./model-checks.ts";
import { quantized } from "./quantized-checkpoint.ts";
import { type EvaluationData, type Reader, readData } from "./read-data.ts";

export interface LabOptions {
  readonly gpu: Gpu;
  readonly metrics: readonly Metric[];
  readonly options: TextOptions & {
    readonly dtype: "f32" | "bf16" | "keep";
    readonly batch_size: number;
    readonly max_tokens: number;
    readonly stop?: readonly string[] | undefined;
  };
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Hears a message as often as it comes up: once a model, a measurement. */
  readonly warn: (message: string) => void;
}

export interface LoadOptions {
  /** Rounds the matrices of layers to so many bits. */
  readonly bits?: number | undefined;
  /** Weights can be trained, and are held in f32. */
  readonly trained?: boolean;
  /** What `prepare` gave for it, if it was called. */
  readonly reader?: Reader;
}

export interface ScoringOptions {
  /** Called with every batch, for dumps. */
  readonly visit?: ((batch: Batch) => Promise<void>) | undefined;
  /** What the model reads the groups as, if they have been read. */
  readonly data?: EvaluationData | undefined;
}

/** A model on the GPU that can be measured again and again. */
export interface Specimen {
  readonly ref: string;
  readonly model: Model;
  /** Of a language model. */
  readonly tools: TextTools | undefined;
  /** Every row as the model, as it is now, scores it. Warns of groups whose loss is not finite. */
  score(groups: readonly GroupReference[], options?: ScoringOptions): Promise<ScoredRow[]>;
  free(): Promise<void>;
}

/** What rows must hold for all of the metrics. */
export const needsOf = (metrics: readonly Metric[]): Set<Need> => new Set(metrics.flatMap(({ needs = [] }) => needs));

export class Lab {
  readonly #options: LabOptions;

  constructor(options: LabOptions) {
    this.#options = options;
  }

  /** Tells that a row is done. */
  tick(ref: string): void {
    this.#options.progress.advance(1, ref);
  }

  get gpu(): Gpu {
    return this.#options.gpu;
  }

  /** Throws as `prepare` does. */
  async load(checkpoint: Checkpoint, { bits, trained = false, reader }: LoadOptions = {}): Promise<Specimen> {
    const { gpu, metrics, options, signal, progress, warn } = this.#options;
    const needs = needsOf(metrics);
    const learns = trained || needs.has("gradient");
    const { sizes, tools } = reader ?? (await prepare(checkpoint, metrics, options, warn));
    const model = await Model.load(gpu, bits === undefined ? checkpoint : quantized(checkpoint, bits), {
      dtype: learns ? "f32" : options.dtype,
      freeze: () => !learns,
      warn,
    });
    const { ref } = checkpoint;
    const scorer = new Scorer(model, undefined, { moments: needs.has("moments") });
    const score = async (groups: readonly GroupReference[], { visit, data }: ScoringOptions) => {
      const { max_tokens: maxTokens, stop = [], batch_size: rows } = options;
      const done = (n: number) => progress.advance(n, ref);
      const common = { rows, scorer, signal, done, ...(visit ? { visit } : {}) };
      const read = data ?? (await readData(groups, { sizes, tools }, needs));
      if (read.kind === "examples") return scoreExamples(model, read.examples, common);
      return scoreText(model, read, tools!, { ...common, needs, maxTokens, stop });
    };
    return {
      ref,
      model,
      tools,
      score: async (groups, scoring = {}) => {
        const scored = await score(groups, scoring);
        for (const text of unsound(ref, scored, groups)) warn(text);
        return scored;
      },
      async free() {
        await scorer.free();
        model.free();
      },
    };
  }
}

/** What is to be said of every group with a loss that is not finite. */
function unsound(ref: string, rows: readonly ScoredRow[], groups: readonly GroupReference[]): string[] {
  return groups.flatMap(({ name }, group) => {
    const own = rows.filter((row) => row.group === group);
    const odd = own.filter(({ nll }) => nll.some((loss) => !Number.isFinite(loss))).length;
    return odd === 0 ? [] : `the loss of ${ref} is not finite on ${odd} of ${own.length} rows of the group ${name}`;
  });
}

/** All rows, and those of every group where there are several. */
export function partsOf(groups: readonly string[]): { name: string; has(row: ScoredRow): boolean }[] {
  const all = { name: "all", has: () => true };
  if (groups.length < 2) return [all];
  return [all, ...groups.map((name, group) => ({ name, has: (row: ScoredRow) => row.group === group }))];
}

export interface Measured {
  readonly group: string;
  readonly metric: Metric;
  readonly value: number;
}

/** Every metric over all rows, and over those of each group unless it compares groups. */
export function measured(rows: readonly ScoredRow[], metrics: readonly Metric[], context: MetricContext): Measured[] {
  return metrics.flatMap((metric) =>
    partsOf(context.groups)
      .slice(0, metric.across ? 1 : undefined)
      .map(({ name, has }) => {
        const [own, gold] = countedRows(metric, rows.filter(has), context.gold?.filter(has));
        return { group: name, metric, value: metric.value(own, { ...context, ...(gold ? { gold } : {}) }) };
      }),
  );
}
