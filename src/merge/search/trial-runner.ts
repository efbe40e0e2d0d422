/** One trial after the other in one process: the recipe of a point, merged into a live model, measured on the rows. */
import { parseRecipe } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import type { Recipe } from "../../checkpoint/lineage/recipe/recipe.ts";
import type { GroupReference } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { asFarAsItGoes } from "../../gpu/dry-device.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import { type LoadedModel, ModelLoader } from "../../run/measuring/loaded-model.ts";
import type { BoundMetric } from "../../run/measuring/metric.ts";
import { largestBatches } from "../../run/scoring/plan-scoring.ts";
import type { Reader, ScoringData } from "../../run/scoring/read-rows.ts";
import type { Point } from "../../run/searching/contract.ts";
import type { TextOptions } from "../../run/text-tools.ts";
import type { MergeMethod } from "../contract.ts";
import { changeNorms } from "../job/change-norms.ts";
import { peakBytes } from "../job/run.ts";
import type { JobSettings, ValuedTask } from "../job/task.ts";
import type { MergePlan } from "../plan/merge-plan.ts";
import { type PostStep, scalesAfter } from "../post-step.ts";
import { keptBytes, LiveMerge, standingCheckpoint } from "./live-merge.ts";
import { type Measures, measuresOf, type Objective } from "./objective.ts";
import type { RecipeSpace } from "./search-space.ts";

export interface RunnerOptions extends TextOptions {
  readonly batch_size: number;
  readonly max_tokens: number;
  readonly stop?: readonly string[] | undefined;
  readonly forget_group: string;
  readonly holdout_group: string;
}

export interface RunnerSetup {
  readonly gpu: Gpu;
  readonly space: RecipeSpace;
  /** Plans a recipe over the open models. */
  readonly plan: (recipe: Recipe) => Promise<{ readonly plan: MergePlan; readonly method: MergeMethod }>;
  /** Of the defaults. */
  readonly first: MergePlan;
  readonly settings: JobSettings;
  readonly post: Bound<PostStep> | undefined;
  readonly objectives: readonly Objective[];
  readonly groups: readonly GroupReference[];
  readonly reader: Reader;
  readonly data: ScoringData;
  readonly options: RunnerOptions;
  /** Whether the models stay on the device. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
}

/** Names in messages about a recipe of a trial. */
const FILE = "the recipe of the trial";

const metricsOf = (objectives: readonly Objective[]): BoundMetric[] => [
  ...new Set(objectives.map(({ metric }) => metric)),
];

/** Loads models for the objectives of a search. Rows are counted by no one: trials are. */
export const loaderOf = ({
  gpu,
  objectives,
  options,
  signal,
  warn,
}: Pick<RunnerSetup, "gpu" | "objectives" | "options" | "signal" | "warn">): ModelLoader =>
  new ModelLoader({
    gpu,
    metrics: metricsOf(objectives),
    options: { ...options, dtype: "keep" },
    signal,
    progress: { start() {}, advance() {} },
    warn,
  });

/** The tensors of a plan with another's parameters: inputs whose order `--align` found stay those that know it. */
function withValues(plan: MergePlan, { tensors }: MergePlan): ValuedTask[] {
  const valued = new Map(tensors.map((task) => [task.name, task]));
  return plan.tensors.map((task) => {
    const { values, perModel } = valued.get(task.name)!;
    return { ...task, values, perModel };
  });
}

export class TrialRunner {
  readonly #setup: RunnerSetup;
  readonly #loaded: LoadedModel;
  readonly #live: LiveMerge;
  readonly #context: { groups: string[]; forget: string; holdout: string };
  /** Points that come again are not measured again. */
  readonly #known = new Map<string, Measures>();

  private constructor(setup: RunnerSetup, loaded: LoadedModel, live: LiveMerge) {
    this.#setup = setup;
    this.#loaded = loaded;
    this.#live = live;
    const { forget_group: forget, holdout_group: holdout } = setup.options;
    this.#context = { groups: setup.groups.map(({ name }) => name), forget, holdout };
  }

  /** Loads the model that recipes are merged into, and the models that stay. */
  static async open(setup: RunnerSetup): Promise<TrialRunner> {
    const { gpu, first, reader, keep, signal } = setup;
    const loaded = await loaderOf(setup).load(standingCheckpoint(first), { reader });
    try {
      const live = await LiveMerge.open({ gpu, model: loaded.model, plan: first, keep, signal });
      return new TrialRunner(setup, loaded, live);
    } catch (error) {
      await loaded.free();
      throw error;
    }
  }

  /**
   * The value of every objective at a point. A recipe that the merge refuses (weights that sum to 0) has none, and says
   * why; every other error ends the search.
   */
  async attempt(point: Point): Promise<{ measures: Measures; failed?: string }> {
    const { space, objectives, groups, data } = this.#setup;
    const text = await space.recipe(point);
    const known = this.#known.get(text);
    if (known) return { measures: known };
    try {
      await this.#merge(text);
    } catch (error) {
      if (!(error instanceof UserError) || error.exitCode !== 2) throw error;
      return { measures: objectives.map(() => Number.NaN), failed: error.message };
    }
    const measures = measuresOf(objectives, await this.#loaded.score(groups, { data }), this.#context);
    this.#known.set(text, measures);
    return { measures };
  }

  async #merge(text: string): Promise<void> {
    const { gpu, first, settings, post, signal } = this.#setup;
    const [recipe] = await parseRecipe(text, FILE);
    const { plan, method } = await this.#setup.plan(recipe!);
    const tasks = withValues(first, plan);
    const measured = { gpu, method, settings, tasks, signal };
    const scale = post && (await scalesAfter(post, tasks, () => changeNorms(measured)));
    await this.#live.merge(plan, method, { ...settings, ...(scale && { post: scale }) });
  }

  async free(): Promise<void> {
    this.#live.free();
    await this.#loaded.free();
  }
}

/** Device memory of a search: what stays, the live model at work, and the merge of a trial. */
export async function plannedMemory(setup: RunnerSetup, method: MergeMethod) {
  const { gpu, first, reader, data, keep, options } = setup;
  const loaded = await loaderOf(setup).load(standingCheckpoint(first), { reader });
  for (const part of largestBatches(data, options.batch_size))
    await asFarAsItGoes(() => loaded.score([], { data: part }));
  const model = gpu.pool.peak;
  await loaded.free();
  const kept = keep ? keptBytes(first) : 0;
  const { gpu: merge, host } = peakBytes(first.tensors, method);
  return { kept, model, merge, host: host + (first.aligned?.bytes ?? 0), gpu: kept + model + merge };
}
