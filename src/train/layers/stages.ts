/**
 * Training in stages: each trains some layers of a perceptron by a loss of its own, on what the layers before give,
 * which are frozen; no gradient passes into these, and none of their activations is kept.
 *
 *   stage s:  min over M_s of loss_s(M_L ... M_s(h_s)),  h_s = M_{s-1} ... M_1(x) of the stages before
 *
 * h_s comes from a file where there is one (stage-outputs.ts), and is computed in every step elsewhere; weights are
 * the same to the bit. Optimizer and rate begin anew in every stage. Zhang et al., "DVIS: Decoupled Video Instance
 * Segmentation Framework", ICCV 2023, https://arxiv.org/abs/2306.03413, trains three modules so.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model } from "../../model/model.ts";
import { matcher } from "../../run/name-patterns.ts";
import { labelCounts, stackedBatches } from "../../run/training/batch-source.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { chooseLoss, type LabelLoss } from "../../run/training/label-loss.ts";
import type { RunOptions } from "../../run/training/loop.ts";
import type { Objective } from "../../run/training/objective.ts";
import type { Optimizer } from "../../run/training/optimizer.ts";
import { regressionObjective } from "../../run/training/regression.ts";
import { Training } from "../../run/training/train-model.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Boundary, boundaryOf, type KeptOutputs, keptOutputs, type NumberExample } from "./stage-outputs.ts";

export interface StageWork {
  readonly model: Model;
  /** Patterns of the weights that are trained. */
  readonly train: readonly string[];
  readonly examples: readonly NumberExample[];
  /** Names of the groups of rows. */
  readonly groups: readonly string[];
  readonly loss: Bound<LabelLoss>;
  readonly optimizer: Bound<Optimizer>;
  /** Passes over the rows make as many as they take when left out. */
  readonly steps: number | undefined;
  readonly lr: number;
  readonly batchSize: number;
  /** Names the stage; its random numbers belong to it. */
  readonly name: string;
  /** Where it is described, for messages. */
  readonly place: string;
  readonly seed: number;
  /** File of what the frozen first layers give; computed in every step when left out. */
  readonly file: string | undefined;
}

export interface StageResult {
  readonly steps: number;
  /** Of the last step. */
  readonly loss: number;
  /** Bytes on the GPU of what a step keeps and works in. */
  readonly activations: number;
  /** Hidden state that it trains from; undefined where that is the rows. */
  readonly from: string | undefined;
  readonly cache: KeptOutputs["cache"] | "none";
}

const READ = "stage outputs";

/** Marks the weights that a stage trains; gives where the frozen ones before them end. */
export function beginStage(model: Model, train: readonly string[], example: NumberExample): Boundary | undefined {
  const isTrained = matcher(train);
  for (const parameter of model.parameters.values()) {
    parameter.trainable = isTrained(parameter.name);
    if (!parameter.trainable) parameter.freeGradient();
  }
  return boundaryOf(model, example);
}

/** Outputs of rows, by the rows' places. */
function gather(outputs: Float32Array, width: number, examples: readonly NumberExample[]) {
  const rows = new Map(examples.map(({ place }, row) => [place, row]));
  return (batch: Batch): Float32Array => {
    const found = new Float32Array(batch.rows * width);
    for (const [i, place] of ("places" in batch ? batch.places : []).entries()) {
      const row = rows.get(place);
      if (row === undefined) throw new TypeError(`${place} is no row of the stage`);
      found.set(outputs.subarray(row * width, (row + 1) * width), i * width);
    }
    return found;
  };
}

/** The rows of a stage in batches. All have as many rows, which stage-outputs.ts asks for. */
export function stageSource({ examples, groups, batchSize, seed, name }: StageWork) {
  const order = keyedUnits(seed, name)();
  return stackedBatches(examples, groups, {
    batchSize: Math.min(batchSize, examples.length),
    seed: Math.floor(order * 2 ** 32),
    dropLast: true,
  });
}

type Replace = (rec: Recorder) => (name: string, x: Tensor) => Tensor;

/** Throws UserError for a loss that does not fit. */
function plainObjective(
  { model, loss }: StageWork,
  source: ReturnType<typeof stageSource>,
  replace: Replace | undefined,
): Objective<Batch> {
  if (model.task === "regressor") return regressionObjective(model, loss, replace);
  const counts = () => labelCounts(source, model.sizes.outputs);
  return crossEntropyObjective(model, { loss: chooseLoss(loss, { model, counts, micro: 1 }), accuracy: true, replace });
}

/** Throws UserError for a loss that does not fit, naming the stage. */
export function checkStage(work: StageWork): void {
  try {
    plainObjective(work, stageSource(work), undefined);
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${work.place}: ${error.message}`, error.hint);
    throw error;
  }
}

/** The loss from what is kept, or from the rows. */
function objectiveOf(
  work: StageWork,
  source: ReturnType<typeof stageSource>,
  from: (Boundary & Pick<KeptOutputs, "outputs">) | undefined,
): Objective<Batch> {
  if (!from) return plainObjective(work, source, undefined);
  const { rows } = source.largest();
  const own = plainObjective(
    work,
    source,
    (rec) => (name, x) => (name === from.note ? rec.input(READ, [rows, from.width]) : x),
  );
  const outputsOf = gather(from.outputs, from.width, work.examples);
  return {
    ...own,
    fill(program, batch, total, part) {
      own.fill(program, batch, total, part);
      program.write(READ, outputsOf(batch));
    },
  };
}

/** Trains a stage. Throws UserError for a loss that does not fit, and (exit 1) for one that is not finite. */
export async function trainStage(work: StageWork, running: RunOptions): Promise<StageResult> {
  const { model, train, examples, optimizer, lr, place, file, seed } = work;
  const [first] = examples;
  if (!first) throw new UserError(`${place}: data has no rows`, "give rows of x and label, or of x and y");
  const boundary = beginStage(model, train, first);
  const source = stageSource(work);
  const kept =
    boundary && file !== undefined
      ? await keptOutputs(file, model, boundary, examples, source.largest().rows)
      : undefined;
  const steps = work.steps ?? source.batchesPerEpoch;
  const training = await Training.make<Batch>({
    model,
    source,
    objective: objectiveOf(work, source, boundary && kept && { ...boundary, ...kept }),
    ...{ optimizer, steps, seed },
    rate: () => lr,
    decays: ({ decays, shape }) => decays && shape.length > 1,
  });
  try {
    const { step, last } = await training.run(running);
    const { activations } = training.memory();
    const loss = last?.metrics.loss ?? Number.NaN;
    return { steps: step, loss, activations, from: boundary?.note, cache: kept?.cache ?? "none" };
  } finally {
    await training.free();
  }
}
