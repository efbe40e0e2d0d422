/**
 * What re-warming does to a model whose learning rate has come to its end, when it is trained on: a sweep of warm-ups
 * and peaks, beside the rates that do not move and a model that starts from nothing.
 *
 *   rate of step t: up in a line over the share rho of the steps, then half a cosine down (train --schedule rewarm)
 *
 * For every run the losses on old and new rows before and after, and how far they rose in between. Gupta et al. 2023,
 * Continual Pre-Training of Large Language Models: How to (re)warm your model?, https://arxiv.org/abs/2308.04014. As a
 * rule a larger peak learns more of the new and forgets more of the old, and the length of the warm-up hardly matters.
 * With --rewarm-state every run is done with fresh states of the optimizer and with those of the earlier training.
 */
import { UserError } from "../../../errors.ts";
import { bindDefaults } from "../../../method/bind.ts";
import { loadMethod } from "../../../method/registry.ts";
import { Model } from "../../../model/model.ts";
import { requireGroup } from "../../../run/measuring/groups.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { carriedRun } from "../../../run/training/carried-state.ts";
import { withSavedTraining } from "../../../run/training/found-state.ts";
import { mixedBatches } from "../../../run/training/short-training.ts";
import type { SavedTraining } from "../../../run/training/training-state.ts";
import { refuseMeasures } from "../../look-at.ts";
import { eachTrained } from "../../short-runs/trained-models.ts";
import { type Course, divideRows, Trials } from "../../short-runs/trials.ts";
import { defineTechnique, type TechniqueInfo, type TechniqueSetup } from "../../technique.ts";

const COUNT = "number.integer >= 1";
const OPTIONS = {
  rewarm_old: { type: "string", default: "old", help: "group of what the model was trained on", value: "NAME" },
  rewarm_new: {
    type: "string",
    default: "new",
    help: "group of what it is trained on next; the old one again shows what re-warming does by itself",
    value: "NAME",
  },
  rewarm_warmups: {
    type: "(0 <= number < 1)[]",
    default: [0, 0.005, 0.01, 0.02],
    help: "shares of the steps in which the rate rises",
    value: "SHARE",
  },
  rewarm_peaks: { type: "(number > 0)[]", default: [0.5, 1, 2], help: "peaks, times --rewarm-lr", value: "X" },
  rewarm_lr: { type: "number > 0", default: 3e-4, help: "peak rate of the earlier training", value: "RATE" },
  rewarm_start_ratio: {
    type: "0 <= number <= 1",
    default: 0.1,
    help: "rate to start from, as a share of the peak",
    value: "R",
  },
  rewarm_min_ratio: { type: "0 < number <= 1", default: 0.1, help: "rate of the end, as a share of it", value: "R" },
  rewarm_steps: { type: COUNT, default: 200, help: "steps of each run", value: "N" },
  rewarm_every: { type: COUNT, default: 10, help: "steps between two measurements", value: "N" },
  rewarm_batch: { type: COUNT, default: 8, help: "rows of a step", value: "N" },
  rewarm_held: { type: "0 < number < 1", default: 0.2, help: "share of the rows that is measured", value: "F" },
  rewarm_state: {
    type: "string",
    help: "state of the earlier training, as train --keep-state leaves it: every run is done with it, too",
    value: "DIR",
  },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;
type Values = Setup["values"];

/** A run to do. */
interface Plan {
  readonly run: "re-warmed" | "low" | "high" | "scratch";
  readonly warmup?: number;
  readonly peak: number;
  readonly state: "fresh" | "kept";
}

interface Row extends Plan {
  readonly model: string;
  /** Losses. */
  readonly old_before: number;
  readonly old_after: number;
  readonly new_before: number;
  readonly new_after: number;
  /** The most that a loss was above that at the start. */
  readonly old_rise: number;
  readonly new_rise: number;
}

/** The sweep, then what it is held against. */
function plansOf({ rewarm_warmups: warmups, rewarm_peaks: peaks, rewarm_lr: lr, rewarm_state }: Values): Plan[] {
  const states = rewarm_state === undefined ? (["fresh"] as const) : (["fresh", "kept"] as const);
  return states.flatMap((state): Plan[] => [
    ...[...new Set(peaks)].flatMap((times) =>
      [...new Set(warmups)].map((warmup) => ({ run: "re-warmed" as const, warmup, peak: times * lr, state })),
    ),
    { run: "low", peak: lr, state },
    { run: "high", peak: lr, state },
    ...(state === "fresh" ? [{ run: "scratch" as const, warmup: 0.01, peak: lr, state }] : []),
  ]);
}

function check(info: TechniqueInfo<typeof OPTIONS>): void {
  refuseMeasures("rewarm", info);
  const { values, groups, models } = info;
  requireGroup(values.rewarm_old, groups, { asker: "--probe rewarm", flag: "--rewarm-old" });
  requireGroup(values.rewarm_new, groups, { asker: "--probe rewarm", flag: "--rewarm-new" });
  const other = groups.find((name) => name !== values.rewarm_old && name !== values.rewarm_new);
  if (other !== undefined)
    throw new UserError(`--probe rewarm reads an old and a new group, and not ${other}`, "leave its --data out");
  if (values.rewarm_state === undefined) return;
  if (models > 1)
    throw new UserError(`--rewarm-state is of one model, and there are ${models}`, "evaluate them one by one");
  carriedRun(values.rewarm_state, "adamw", "--rewarm-state");
}

/** Learning rate of a step, from 1. */
async function rateOf({ run, warmup = 0, peak }: Plan, values: Values): Promise<(step: number) => number> {
  const { rewarm_min_ratio: min_ratio, rewarm_start_ratio: start_ratio, rewarm_steps: steps } = values;
  if (run === "low") return () => peak * min_ratio;
  if (run === "high") return () => peak;
  const settings = { warmup, min_ratio, start_ratio: run === "scratch" ? 0 : start_ratio };
  const { method: schedule, values: given } = bindDefaults(await loadMethod("schedule", "rewarm"), settings);
  return (step) => schedule.rate(step, { lr: peak, steps, values: given });
}

/** Puts weights that never learnt anything in place of the model's. */
async function forget({ model }: LoadedModel, seed: number): Promise<void> {
  const fresh = await Model.fresh(model.gpu, model.json, "a model from scratch", { seed });
  for (const parameter of model.trainable()) {
    const own = fresh.parameters.get(parameter.name);
    if (own) model.gpu.copy(own.buffer, 0, parameter.buffer, 0, parameter.bytes);
  }
  fresh.free();
}

/** How a loss went: before, after, and the most that it rose. */
function summary({ points }: Course, group: number): { before: number; after: number; rise: number } {
  const losses = points.map((point) => point.losses[group]!);
  const before = losses[0]!;
  return { before, after: losses.at(-1)!, rise: Math.max(...losses) - before };
}

async function rowsOf(loaded: LoadedModel, setup: Setup, kept: SavedTraining | undefined): Promise<Row[]> {
  const { values, groups, seed } = setup;
  const { rewarm_old: old, rewarm_new: next, rewarm_batch: batch, rewarm_steps: steps } = values;
  const { learnt, held } = await divideRows(loaded, groups, {
    ...{ held: values.rewarm_held, flag: "--rewarm-held" },
    ...{ batch, seed },
  });
  const trials = new Trials(loaded, held, { ...setup, rateFlag: "--rewarm-lr" });
  const of = (name: string) => held.findIndex((group) => group.name === name);
  const rows: Row[] = [];
  try {
    for (const plan of plansOf(values)) {
      if (plan.run === "scratch") await forget(loaded, seed);
      const source = mixedBatches([learnt[of(next)]!], { batchSize: batch, seed });
      const carried = plan.state === "kept" ? kept : undefined;
      const course = await trials.run(
        { source, steps, rate: await rateOf(plan, values), carried },
        { every: values.rewarm_every },
      );
      const [before, after] = [summary(course, of(old)), summary(course, of(next))];
      rows.push({
        ...{ model: loaded.ref, ...plan, peak: plan.run === "low" ? plan.peak * values.rewarm_min_ratio : plan.peak },
        ...{ old_before: before.before, old_after: before.after, old_rise: before.rise },
        ...{ new_before: after.before, new_after: after.after, new_rise: after.rise },
      });
    }
  } finally {
    await trials.free();
  }
  return rows;
}

/** Mean over the values of one knob of how far the last loss on new rows goes over the values of the other. */
function spreadOver(rows: readonly Row[], knob: "warmup" | "peak"): number {
  const other = knob === "warmup" ? "peak" : "warmup";
  const swept = rows.filter(({ run, state }) => run === "re-warmed" && state === "fresh");
  const groups = [...Map.groupBy(swept, (row) => row[other]).values()];
  const range = (list: readonly Row[]) => {
    const losses = list.map((row) => row.new_after);
    return Math.max(...losses) - Math.min(...losses);
  };
  return groups.reduce((sum, list) => sum + range(list), 0) / groups.length;
}

export const method = defineTechnique({
  name: "rewarm",
  title: "Re-warming",
  about: "trains each model on over a sweep of warm-ups and peaks: the rise of losses, and what they come to",
  cite: "arXiv:2308.04014",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },
  check,

  async run(setup) {
    const { values, candidates, loader } = setup;
    loader.begin(candidates.length * plansOf(values).length * values.rewarm_steps, "steps");
    const { rewarm_state: folder } = values;
    const found = await eachTrained(setup, (loaded) =>
      folder === undefined
        ? rowsOf(loaded, setup, undefined)
        : withSavedTraining(carriedRun(folder, "adamw"), (kept) => rowsOf(loaded, setup, kept)),
    );
    const rows = found.flat();
    const spreads = found.map((own, i) => ({
      model: candidates[i]!.ref,
      ...{ warmups: spreadOver(own, "warmup"), peaks: spreadOver(own, "peak") },
    }));
    const header = ["model", "run", "state", "warm-up", "peak", "old rise", "old after", "new rise", "new after"];
    const cells = rows.map((row) => [
      ...[row.model, row.run, row.state, row.warmup, row.peak.toPrecision(3)],
      ...[row.old_rise, row.old_after, row.new_rise, row.new_after],
    ]);
    const spread = spreads.flatMap(({ model, warmups, peaks }) => [
      [model, "spread over warm-ups", "", "", "", "", "", "", warmups],
      [model, "spread over peaks", "", "", "", "", "", "", peaks],
    ]);
    return { table: [header, ...cells, ...spread], json: { spreads, rows } };
  },
});
