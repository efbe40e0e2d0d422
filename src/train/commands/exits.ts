/** `train exits`: heads at inner layers of a classifier, and gates that say which rows leave there. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { type Example, loadExamples } from "../../data/examples.ts";
import { groupsOf } from "../../data/groups.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { layerCosts } from "../../run/exits/costs.ts";
import { writeExits } from "../../run/exits/exit-file.ts";
import { exitStates, hearExits } from "../../run/exits/exit-rows.ts";
import type { ExitPlan } from "../../run/exits/exits.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { pooledFeatures } from "../../run/scoring/pooled-features.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import { fate, type JeiOptions, type JeiRows, trainJei, warmedUp } from "../exits/jei.ts";
import type { EXITS } from "../exits/options.ts";

type ExitsContext = Context<typeof EXITS>;

/** Throws UserError for a model that has no classes, and for layers that are not within. */
function check({ options }: ExitsContext, { ref, task, sizes, examples }: DescribedModel): void {
  if (task !== "classifier" || examples.predicts !== undefined)
    throw new UserError(
      `${ref} gives rows no class; exits are for classifiers`,
      "name a classifier: train --init vit.json",
    );
  const { at } = options;
  const odd = at.find((layer, i) => layer <= (at[i - 1] ?? 0) || layer >= sizes.layers);
  if (odd !== undefined)
    throw new UserError(
      `--at ${at.join(",")}: ${odd} does not rise within the ${sizes.layers} layers of ${ref}`,
      `name layers from 1 to ${sizes.layers - 1}, rising; the last exit is the model's own head`,
    );
}

/** The rows of --data and --eval-data, or a tenth of the former. */
async function readExamples({ options, seed }: ExitsContext, { examples: reader }: DescribedModel) {
  const read = (refs: readonly string[], flag: string) => loadExamples(groupsOf(refs, flag, options.columns), reader);
  const all = await read(options.data, "--data");
  if (options.eval_data?.length) return { train: all, held: await read(options.eval_data, "--eval-data") };
  if (all.length < 10)
    throw new UserError(`--data has ${all.length} rows, too few to hold some out`, "give more rows, or --eval-data");
  const order = permutation(all.length, seed, 0, "held out");
  const count = Math.floor(all.length / 10);
  const pick = (from: number, to?: number): Example[] => Array.from(order.slice(from, to), (row) => all[row]!);
  return { train: pick(count), held: pick(0, count) };
}

const optionsOf = ({ options, seed, signal }: ExitsContext): Omit<JeiOptions, "lambda" | "done"> => ({
  ...{ epochs: options.epochs, warmUp: options.warm_up, patience: options.patience, turn: options.turn },
  ...{ batch: options.batch_size, lr: { first: options.lr, last: options.end_lr }, decay: options.weight_decay },
  ...{ seed, signal },
});

export async function trainExits(context: ExitsContext): Promise<Outcome> {
  const { options, out, progress, signal, seed } = context;
  const warn = (text: string) => context.warn(text);
  const opened = await openModel(context.args[0] ?? "-", options, warn);
  context.onExit(() => opened.checkpoint.close());
  check(context, opened);
  refuseInputs(out, [opened.ref, ...options.data, ...(options.eval_data ?? [])]);
  const examples = await readExamples(context, opened);
  const { train, held } = examples;
  if (context.dryRun) {
    context.print(`${options.at.length} exits on ${train.length} rows, weighed by ${held.length}`);
    context.json({ exits: options.at, rows: train.length, held: held.length });
    return {};
  }
  await tryTarget(out);
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { dtype: options.dtype, freeze: () => true });
  const { shares } = layerCosts(model);
  progress.start({ total: train.length + held.length, unit: "rows" });
  const done = (rows: number) => progress.advance(rows);
  const statesOf = async (rows: readonly Example[]) => {
    const labels = rows.map(({ label }) => label);
    return exitStates(await pooledFeatures(model, rows, { signal, done }), labels, options.at);
  };
  const rows: JeiRows = { train: await statesOf(train), held: await statesOf(held) };
  progress.done();
  const plan: ExitPlan = {
    at: options.at,
    widths: rows.train[0]!.states.map(({ length }) => length),
    classes: model.sizes.outputs,
    costs: [...options.at.map((layer) => shares[layer - 1]!), 1],
  };
  const passes = options.lambda.length * (options.epochs + options.warm_up);
  progress.start({ total: passes * train.length, unit: "rows" });
  const sets = [];
  const told = [];
  for (const lambda of options.lambda) {
    const jei = { ...optionsOf(context), lambda, done };
    const exits = await warmedUp(gpu, plan, rows, jei);
    await trainJei(gpu, exits, rows, jei);
    sets.push({ lambda, exits });
    told.push({ lambda, ...fate(await hearExits(gpu, exits, rows.held), plan) });
  }
  progress.done();
  const step = { script: "train exits", version: context.version, options: context.chosen, seed };
  const data = [...options.data, ...(options.eval_data ?? [])].map((ref) => ({ ref, role: "data" }));
  const lineage = lineageOf(step, [{ checkpoint: opened.checkpoint, role: "model" }], warn, data);
  const bytes = await writeExits(gpu, sets, { out, lineage });
  for (const { exits } of sets) exits.free();
  model.free();
  const rounded = told.map(({ lambda, cost, accuracy }) => [`${lambda}`, cost.toFixed(3), accuracy.toFixed(3)]);
  context.print(table([["lambda", "cost", "accuracy, held out"], ...rounded]));
  context.json({ at: options.at, costs: plan.costs, sets: told, rows: train.length, held: held.length, out, bytes });
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})` };
}
