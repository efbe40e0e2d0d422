/**
 * `evaluate interactions`: whether experiments that are planted together disturb each other. Training goes on from a
 * checkpoint with none of them, with each, and with every two, for several seeds:
 *
 *   interaction of i and j = (both - j) - (i - none)
 *
 * of the loss of i's rows and of j's. It is flagged where seeds alone do not make it.
 */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import type { Batch } from "../../data/batch.ts";
import { loadSequences } from "../../data/dataset.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { type Bound, bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import { type Interaction, interactionOf, rowOutcomes } from "../../run/planting/outcome.ts";
import { readPlan } from "../../run/planting/plan.ts";
import { type Experiment, Planting } from "../../run/planting/planted-batches.ts";
import { tokenBatches } from "../../run/training/batch-source.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import type { Optimizer } from "../../run/training/optimizer.ts";
import { trainModel } from "../../run/training/train-model.ts";
import { table } from "../../text/table.ts";
import type { INTERACTIONS } from "../planting-options.ts";

type InteractionsContext = Context<typeof INTERACTIONS>;

interface Setup {
  readonly gpu: Gpu;
  readonly checkpoint: Checkpoint;
  readonly source: () => ReturnType<typeof tokenBatches>;
  readonly optimizer: Bound<Optimizer>;
  readonly pad: number;
  /** Rows of each experiment, in batches. */
  readonly measured: readonly (readonly Batch[])[];
}

interface Line extends Interaction {
  readonly first: string;
  readonly second: string;
  /** Whose rows' loss it is of. */
  readonly loss_of: string;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Losses of every experiment's rows after a training in which some are planted. */
async function lossesAfter(
  { options, signal }: InteractionsContext,
  { gpu, checkpoint, source, optimizer, pad, measured }: Setup,
  planted: readonly Experiment[],
  seed: number,
): Promise<number[]> {
  const model = await Model.load(gpu, checkpoint, { dtype: "f32" });
  const read = await source();
  const planting = new Planting(planted, { batches: options.steps, rows: options.batch_size, seed, pad });
  await trainModel({
    ...{ model, optimizer, seed, signal, steps: options.steps, rate: () => options.lr },
    source: planted.length > 0 ? planting.in(read) : read,
    objective: crossEntropyObjective(model),
  });
  signal.throwIfAborted();
  const losses: number[] = [];
  for (const batches of measured) losses.push(mean((await rowOutcomes(model, batches)).map(({ loss }) => loss)));
  model.free();
  return losses;
}

/** Runs the sub-command. */
export async function interactions(context: InteractionsContext): Promise<Outcome> {
  const { args, options, seed, progress } = context;
  const [ref = "-", ...more] = args;
  if (more.length > 0) throw new UserError(`one model at a time, found ${args.join(" ")}`, "name one");
  const plan = await readPlan(options.plant, options.columns);
  if (plan.length < 2)
    throw new UserError(`--plant ${options.plant} has ${plan.length} experiments`, "give two or more");
  const opened = await openModel(ref, options, (text) => context.warn(text));
  context.onExit(() => opened.checkpoint.close());
  const { tools, checkpoint } = opened;
  if (!tools) throw new UserError(`${ref} is a classifier, and rows are planted among tokens`, "name a language model");
  const pairs = plan.flatMap((_, i) => plan.slice(i + 1).map((__, j) => [i, i + 1 + j] as const));
  const kinds = [[], ...plan.map((_, i) => [i]), ...pairs];
  const total = kinds.length * options.seeds;
  if (context.dryRun) {
    context.print(`${total} trainings of ${options.steps} steps, for ${pairs.length} pairs`);
    context.json({ trainings: total, steps: options.steps, pairs: pairs.length });
    return {};
  }
  const experiments: Experiment[] = [];
  const measured: (readonly Batch[])[] = [];
  for (const experiment of plan) {
    experiments.push({ ...experiment, sequences: (await loadSequences([experiment.rows], tools.encode)).sequences });
    measured.push((await readBatches([experiment.rows], opened, options.batch_size)).batches);
  }
  const gpu = await openGpu({ device: context.device });
  const pad = tools.tokenizer?.pad ?? 0;
  const optimizer = bindDefaults(await loadMethod("optimizer", "adamw"));
  const groups = groupsOf(options.data, "--data", options.columns);
  /** By kind of training, then by seed: losses of every experiment. */
  const found: number[][][] = kinds.map(() => []);
  progress.start({ total, unit: "trainings" });
  for (let run = 0; run < options.seeds; run++) {
    const own = seed + run;
    const source = () => tokenBatches(groups, tools.encode, { batchSize: options.batch_size, seed: own }, pad);
    for (const [kind, planted] of kinds.entries()) {
      const chosen = planted.map((i) => experiments[i]!);
      const setup = { gpu, checkpoint, source, optimizer, pad, measured };
      found[kind]!.push(await lossesAfter(context, setup, chosen, own));
      progress.advance(1);
    }
  }
  progress.done();
  const lines = pairs.flatMap(([i, j], place): Line[] =>
    [i, j].map((measuredOf) => {
      const at = (kind: number) => found[kind]!.map((losses) => losses[measuredOf]!);
      const [none, first, second, both] = [at(0), at(1 + i), at(1 + j), at(1 + plan.length + place)];
      const values = none.map((loss, run) => both[run]! - second[run]! - (first[run]! - loss));
      return {
        ...{ first: plan[i]!.name, second: plan[j]!.name, loss_of: plan[measuredOf]!.name },
        ...interactionOf(values),
      };
    }),
  );
  context.print(
    table(
      [
        ["experiments", "loss of", "interaction", "sd of seeds", ""],
        ...lines.map(({ first, second, loss_of: of, mean: value, deviation, isFlagged }) => [
          ...[`${first} and ${second}`, of, value.toFixed(4), deviation.toFixed(4)],
          isFlagged ? "beyond what seeds make" : "",
        ]),
      ],
      { align: "llrrl" },
    ),
  );
  context.json({
    seeds: options.seeds,
    interactions: lines.map(({ isFlagged, mean: interaction, ...line }) => ({
      ...{ ...line, interaction },
      flagged: isFlagged,
    })),
  });
  return {};
}
