/**
 * Short trainings of a model, one after another from the same weights: what `--schedule-search` judges schedules by.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { flagOf, type Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import {
  type BatchSource,
  type readBatches,
  sequenceBatches,
  stackedBatches,
} from "../../run/training/batch-source.ts";
import { trainingSettings } from "../../run/training/build-run.ts";
import { HeldOut, type HeldOutGroup, meanOfGroups } from "../../run/training/held-out.ts";
import type { Objective } from "../../run/training/objective.ts";
import { choose } from "../../run/training/optimizer-and-schedule.ts";
import type { Built, RunContext } from "../../run/training/technique.ts";
import { type TrainingOptions, trainModel } from "../../run/training/train-model.ts";
import { stateTensor } from "../../run/training/training-state.ts";
import type { TRAIN } from "../options.ts";
import { firstWeights, SearchedRate, type ShortLife, searchSchedule } from "./schedule-search.ts";

type Source = Awaited<ReturnType<typeof readBatches>>;

type Asked = Pick<RunContext, "picks" | "seed" | "signal" | "dryRun" | "log" | "info" | "progress"> & {
  readonly options: Values<typeof TRAIN>;
};

export interface ShortLives {
  readonly model: Model;
  readonly heldOut: readonly HeldOutGroup[];
  readonly objective: Objective<Batch>;
  /** Rows in an order of their own. */
  readonly source: (seed: number) => BatchSource<Batch>;
  readonly settings: (
    searched: SearchedRate,
    steps: number,
    seed: number,
  ) => Omit<TrainingOptions<Batch>, "model" | "source" | "objective" | "heldOut">;
  readonly signal: AbortSignal;
}

/** A copy of all that a training changes, and the way back to it. */
async function kept(model: Model): Promise<() => void> {
  const { gpu } = model;
  const parameters = [...new Set([...model.parameters.values(), ...model.trainable()])];
  const copies = await Promise.all(
    parameters.map(async (parameter) => {
      const { bytes } = stateTensor(parameter.name, parameter, parameter.buffer, parameter.dtype);
      const whole = Math.ceil(bytes / 4) * 4;
      return { parameter, copy: await gpu.read(parameter.buffer, 0, whole, (view) => view.slice(0, whole)) };
    }),
  );
  return () => {
    for (const { parameter, copy } of copies) gpu.write(parameter.buffer, 0, copy);
  };
}

/** The held-out loss of the model as it is, and what trains it for a while and brings it back. */
export async function shortLives(given: ShortLives): Promise<{ readonly before: number; readonly life: ShortLife }> {
  const { model, heldOut, objective, source, settings, signal } = given;
  const back = await kept(model);
  const measure = new HeldOut(model, heldOut);
  const before = meanOfGroups(await measure.losses());
  await measure.free();
  const life: ShortLife = async (searched, steps, seed) => {
    let found = Number.POSITIVE_INFINITY;
    try {
      await trainModel<Batch>({
        ...settings(searched, steps, seed),
        ...{ model, objective, source: source(seed), heldOut, signal },
        evaluate: async (_, losses) => {
          found = meanOfGroups(losses);
          return false;
        },
      });
    } catch (error) {
      if (!(error instanceof UserError && error.exitCode === 1)) throw error; // else it diverged, which is judged
    } finally {
      back();
    }
    signal.throwIfAborted();
    return Number.isFinite(found) ? found : Number.POSITIVE_INFINITY;
  };
  return { before, life };
}

/** The parts of a run that a search has to do without, as they are not one model's training by one loss. */
const CLASHING = [
  "adversarial",
  "prequential",
  "private_head",
  "increment_mask",
  "prompt_drop",
  "prompt_shuffle",
  "gradient_rule",
] as const;

/**
 * The schedule's rate for a run: found now, or what the saved state holds where the run resumes. Throws UserError for
 * options that change how a step is made.
 */
export async function searchedRate(
  { options, picks, seed, signal, dryRun, log, info, progress }: Asked,
  { model, order, tools, steps, resumed }: Built,
  given: { readonly source: Source; readonly objective: Objective<Batch>; readonly heldOut: readonly HeldOutGroup[] },
): Promise<SearchedRate> {
  const odd = CLASHING.find((name) => options[name]) ?? (options.loss_balance === "none" ? undefined : "loss_balance");
  if (odd !== undefined)
    throw new UserError(`--schedule-search trains without ${flagOf(odd)}`, "leave one of them out");
  const weights = firstWeights(seed);
  const found = new SearchedRate(weights, options.search_lengths);
  if (resumed || dryRun) return found;
  const { source, objective, heldOut } = given;
  const choices = choose(picks, options.lr);
  const { before, life } = await shortLives({
    ...{ model, heldOut, objective, signal },
    settings: (searched, length, own) =>
      trainingSettings<Batch>(
        { options, seed: own },
        choices,
        length,
        { model, rules: [] },
        {
          controllers: [searched],
          multiplier: (step) => searched.multiplier(step, length),
        },
      ),
    source: (own) =>
      "data" in source
        ? sequenceBatches(source.data, { ...order, seed: own }, tools?.tokenizer?.pad ?? 0)
        : stackedBatches(
            source.examples,
            source.groups.map(({ name }) => name),
            { ...order, seed: own },
          ),
  });
  progress.start({ total: options.search_generations, unit: "generations" });
  await searchSchedule(weights, options, {
    ...{ seed, before, life },
    told(generation, loss) {
      log.event("schedule_search", { generation, loss });
      progress.advance(1, undefined, `loss ${loss.toFixed(4)}`);
    },
  });
  progress.done();
  const shares = [0, 0.25, 0.5, 0.75, 1].map((share) => found.multiplier(1 + share * steps, steps).toPrecision(2));
  info(`schedule of ${steps} steps: rate x ${shares.join(" ")} along them, where the loss stays`);
  return found;
}
