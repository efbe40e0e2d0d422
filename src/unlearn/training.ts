/**
 * Sets the training of an objective up: what the model as it was is asked, the objective, and what changes between
 * steps.
 */
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Stateful } from "../method/stateful.ts";
import { Model } from "../model/model.ts";
import { baseTeacher, liveTeacher, type Teacher } from "../run/teachers/teacher.ts";
import { makesAdapter } from "../run/training/adapter-choice.ts";
import type { Adaptive } from "../run/training/adaptive.ts";
import type { Controller } from "../run/training/controller.ts";
import { chooseLoss, type LabelLoss } from "../run/training/label-loss.ts";
import { ParetoGradients } from "../run/training/pareto-gradients.ts";
import type { Built, Work } from "../run/training/technique.ts";
import { untrainedModel } from "../run/untrained.ts";
import type { UnlearnBatch } from "./batches.ts";
import { type Choices, readsOriginal } from "./choices.ts";
import { errorNoise, type NoiseRows, noisyBatches } from "./error-noise.ts";
import type { OriginalModel, UnlearnData } from "./forget-data.ts";
import { unlearnObjective } from "./objective.ts";
import type { UnlearnRun } from "./run.ts";
import { salientWeights } from "./salient-weights.ts";
import type { Smoothing } from "./smoothing.ts";

export async function setUpTraining(
  run: UnlearnRun,
  choices: Choices,
  { smoothing, loss }: { readonly smoothing: Bound<Smoothing> | undefined; readonly loss: Bound<LabelLoss> },
  data: UnlearnData,
  built: Built,
): Promise<Work<UnlearnBatch>> {
  const { options, seed } = run;
  const { chosen, retain, parts } = choices;
  const { gpu, model, steps } = built;
  const original = await originalOf(run, choices, built, data.original);
  if (!run.dryRun && !built.resumed) await ask(run, data, built);
  const perEpoch = Math.ceil(data.source.batchesPerEpoch / options.accumulate);
  const { method, values } = chosen;
  const perStep = options.batch_size * options.accumulate;
  const passes = { forget: Math.ceil(data.rows.forget / perStep), retain: Math.ceil(data.rows.retain / perStep) };
  const adaptive = method.adaptive?.({ values, weights: choices.weights, steps, perEpoch, passes });
  const parameters = model.trainable();
  const untrained = method.untrained ? liveTeacher(await untrainedModel(model, seed), model.sizes.outputs) : undefined;
  const share = method.salient?.(values);
  const how = method.noise?.(values);
  const salience = share !== undefined && { batches: data.labelled(), share, seed, signal: run.signal };
  const salient = salience && (await salientWeights(model, salience, !run.dryRun && !built.resumed));
  return {
    objective: unlearnObjective({
      model,
      chosen,
      supplies: data.supplies,
      retain,
      original,
      untrained,
      twins: data.twins,
      parts,
      recompute: options.recompute,
      seed,
      loss: chooseLoss(loss, { model, counts: undefined, micro: options.accumulate, part: true }),
    }),
    ...(how ? { source: noisyBatches(data.source, () => noiseOf(built, data, { ...how, seed })) } : {}),
    controllers: [
      weightsController(choices, adaptive),
      ...data.supplies.map((supply, i) => supplyController(method.needs![i]!.name, supply)),
    ],
    updates: [
      ...(smoothing ? [smoothing.method.rule({ gpu, parameters, values: smoothing.values, seed, steps })] : []),
      ...(salient ? [salient] : []),
      ...(options.term_weights === "pareto" ? [new ParetoGradients(gpu, parameters)] : []),
    ],
    memory: {
      ...(original && original.bytes > 0 ? { original: original.bytes } : {}),
      ...(untrained ? { untrained: untrained.bytes } : {}),
    },
    free() {
      original?.free();
      untrained?.free();
    },
  };
}

/** Noise against the model as it was, which a run that resumes loads anew. */
async function noiseOf(
  { model, resumed, original }: Built,
  data: UnlearnData,
  how: Parameters<typeof errorNoise>[2],
): Promise<NoiseRows> {
  if (!resumed) return errorNoise(model, data.labelled(), how);
  const before = await original();
  const found = await errorNoise(before, data.labelled(), how);
  before.free();
  return found;
}

/** theta0, where a term reads what it says: a second model, or the base under an adapter. Throws UserError. */
async function originalOf(
  { options }: UnlearnRun,
  { chosen: { method }, retain }: Choices,
  { model, gpu, original }: Built,
  named: OriginalModel | undefined,
): Promise<Teacher | undefined> {
  if (!readsOriginal(method, retain)) return undefined;
  if (named) {
    const loaded = await Model.load(gpu, named.checkpoint, { freeze: () => true, warn: () => {} });
    return liveTeacher(loaded, model.sizes.outputs);
  }
  if (options.lora_continue)
    throw new UserError(
      "the model as it was is the base with its adapter, which --lora-continue changes",
      "merge the adapter into the base first, or take a method that needs only likelihoods of theta0",
    );
  return makesAdapter(options) ? baseTeacher(model) : liveTeacher(await original(), model.sizes.outputs);
}

/** Asks the model as it was, before the first step, for what the loss will be given. */
async function ask(
  { options, seed, signal, warn }: UnlearnRun,
  { supplies, sequences, pad }: UnlearnData,
  { model }: Built,
): Promise<void> {
  for (const supply of supplies)
    await supply.ask?.({ model, sequences, pad, rows: options.batch_size, seed, signal, warn });
}

/** Weights of the terms, and the numbers of a method that adapts. */
const weightsController = ({ weights }: Choices, adaptive: Adaptive | undefined): Controller => ({
  name: "weights",
  logged: adaptive !== undefined,
  values: (step) => ({
    forget_weight: weights.forget,
    retain_weight: weights.retain,
    pd_weight: weights.pd,
    ...adaptive?.values(step),
  }),
  ...(adaptive?.heard ? { heard: ({ metrics, step }) => adaptive.heard!(metrics, step) } : {}),
  state: () => adaptive?.state() ?? null,
  load: (state) => adaptive?.load(state),
});

const supplyController = (name: string, supply: Stateful): Controller => ({
  name,
  state: () => supply.state(),
  load: (state) => supply.load(state),
});
