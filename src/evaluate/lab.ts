/** Loads models and measures them, for evaluations, attacks and probes alike. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { Progress } from "../cli/progress.ts";
import type { Batch, ExampleBatch } from "../data/batch.ts";
import type { GroupReference } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { configOf, Model } from "../model/model.ts";
import { type TextOptions, type TextTools, textTools } from "../train/data-source.ts";
import type { Metric, MetricContext, Need, ScoredRow } from "./metric.ts";
import { quantized } from "./quantize.ts";
import { scoreExamples, scoreText } from "./score-rows.ts";
import { Scorer } from "./scorer.ts";

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
  readonly warn: (message: string) => void;
}

export interface LoadOptions {
  /** Rounds the matrices of layers to so many bits. */
  readonly bits?: number | undefined;
  /** Weights can be trained, and are held in f32. */
  readonly trained?: boolean;
}

/** A model on the GPU that can be measured again and again. */
export interface Specimen {
  readonly ref: string;
  readonly model: Model;
  /** Of a language model. */
  readonly tools: TextTools | undefined;
  /** Every row as the model, as it is now, scores it. */
  score(
    groups: readonly GroupReference[],
    visit?: (batch: Batch | ExampleBatch) => Promise<void>,
  ): Promise<ScoredRow[]>;
  free(): Promise<void>;
}

/** What rows must hold for all of the metrics. */
export const needsOf = (metrics: readonly Metric[]): Set<Need> => new Set(metrics.flatMap(({ needs = [] }) => needs));

export class Lab {
  readonly #options: LabOptions;
  readonly #told = new Set<string>();

  constructor(options: LabOptions) {
    this.#options = options;
  }

  /** A warning that would be the same for every model. */
  #once(text: string): void {
    if (!this.#told.has(text)) this.#options.warn(text);
    this.#told.add(text);
  }

  /** Tells that a row is done. */
  tick(ref: string): void {
    this.#options.progress.advance(1, ref);
  }

  get gpu(): Gpu {
    return this.#options.gpu;
  }

  /** Throws UserError for a metric that is not for such a model. */
  async load(checkpoint: Checkpoint, { bits, trained = false }: LoadOptions = {}): Promise<Specimen> {
    const { gpu, metrics, options, signal, progress, warn } = this.#options;
    const needs = needsOf(metrics);
    const learns = trained || needs.has("gradient");
    const model = await Model.load(gpu, bits === undefined ? checkpoint : quantized(checkpoint, bits), {
      dtype: learns ? "f32" : options.dtype,
      freeze: () => !learns,
      warn,
    });
    for (const { name, task } of metrics) {
      if (task && task !== model.task)
        throw new UserError(
          `--metric ${name} is not for ${checkpoint.ref}, a ${configOf(checkpoint).model_type} ${model.task}`,
          `it is for a ${task}`,
        );
    }
    const { ref } = checkpoint;
    const tools =
      model.task === "causal-lm"
        ? await textTools(checkpoint.files, ref, model.sizes, options, (text) => this.#once(text))
        : undefined;
    const scorer = new Scorer(model, undefined, { moments: needs.has("moments") });
    return {
      ref,
      model,
      tools,
      async score(groups, visit) {
        const common = {
          rows: options.batch_size,
          scorer,
          signal,
          done: (n: number) => progress.advance(n, ref),
          ...(visit ? { visit } : {}),
        };
        if (!tools) return scoreExamples(model, groups, common);
        const { max_tokens: maxTokens, stop = [] } = options;
        return scoreText(model, groups, tools, { ...common, needs, maxTokens, stop });
      },
      async free() {
        await scorer.free();
        model.free();
      },
    };
  }
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
        const gold = context.gold?.filter(has);
        return {
          group: name,
          metric,
          value: metric.value(rows.filter(has), { ...context, ...(gold ? { gold } : {}) }),
        };
      }),
  );
}
