/**
 * Augments the images of a training by a policy that reads the model's own features, and teaches it what lowers the
 * loss of held-out rows one step ahead.
 *
 *   an image is augmented with probability tanh(t / tau), t the share of the training that is done
 *   reward of an augmented row i: <grad L_i, v> = (L_i(w + e v) - L_i(w - e v)) / 2 e,  v = grad L_held, e |v| = 0.01
 *
 * A step on a row with a large reward lowers the held-out loss most: the second-order term of a step ahead by
 * differences, with the score function in the place of a gradient through the operations. Costs a forward pass and a
 * read of features for every batch, and for a lesson a backward pass and two forward ones. GPU memory: copies of the
 * trained weights and of their gradients.
 */
import { changedImage, IMAGE_OPERATIONS } from "../../data/augmenting/image-operations.ts";
import { type Batch, batchKey, stackExamples } from "../../data/batch.ts";
import type { ImageShape } from "../../data/corrupting/contract.ts";
import type { Example } from "../../data/examples.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Model } from "../../model/model.ts";
import type { CommandContext } from "../../run/command-context.ts";
import { Programs } from "../../run/programs.ts";
import { FeatureReader } from "../../run/scoring/pooled-features.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import type { Controller } from "../../run/training/controller.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { Perturbation } from "../../run/training/perturbation.ts";
import type { LearnedAugmenting } from "../contract.ts";
import { AugmentPolicy, type DrawnOperations, standardised } from "./policy.ts";

export interface LearnerOptions {
  readonly settings: LearnedAugmenting;
  readonly model: Model;
  /** Rows that lessons are of. */
  readonly examples: readonly Example[];
  /** Whose loss is to fall. */
  readonly held: readonly Batch[];
  readonly batchSize: number;
  readonly steps: number;
  /** Batches of the whole training. */
  readonly batches: number;
  readonly seed: number;
  readonly context: Pick<CommandContext, "log">;
}

/** How far weights move for differences. */
const DISTANCE = 0.01;
const GRADIENT = "held-out gradient";

export class AugmentationLearner implements Controller {
  readonly name = "augmentation policy";
  readonly #given: LearnerOptions;
  readonly #shape: ImageShape;
  readonly #policy: AugmentPolicy;
  readonly #reader: FeatureReader;
  readonly #scorer: Scorer;
  readonly #programs: Programs;
  readonly #weights: Perturbation;

  constructor(given: LearnerOptions) {
    const { model, settings, seed } = given;
    const [channels = 0, height = 0, width = 0] = model.sizes.example ?? [];
    if (channels * height * width === 0)
      throw new UserError("madaug augments images, and the model takes none", "vit, convnet and resnet do");
    this.#given = given;
    this.#shape = [channels, height, width];
    const { hidden, lr } = settings;
    this.#policy = new AugmentPolicy({
      ...{ features: model.sizes.width, operations: IMAGE_OPERATIONS.length, hidden, lr, seed },
    });
    this.#reader = new FeatureReader(model);
    this.#scorer = new Scorer(model);
    this.#programs = new Programs(model.gpu, { training: true });
    this.#weights = new Perturbation(model.gpu, model.trainable(), settings.learns ? ["weights", GRADIENT] : []);
  }

  /** What the policy goes by: standardised features of rows, (n, F). */
  async #features(rows: readonly Example[]): Promise<Float64Array> {
    const found = await this.#reader.read(stackExamples(rows));
    return standardised(found.map(({ layers }) => layers.at(-1)!));
  }

  #augmented(row: Example, { operations, amounts }: DrawnOperations, random: Random): Example {
    if (!("x" in row)) throw new TypeError("texts are no images");
    let { x } = row;
    for (const [k, at] of operations.entries())
      x = changedImage(IMAGE_OPERATIONS[at]!, x, { shape: this.#shape, amount: amounts[k]!, random });
    return { ...row, x };
  }

  /** The rows of a batch, some of them augmented. */
  async change(rows: readonly Example[], batch: number): Promise<readonly Example[]> {
    const { settings, batches, seed } = this.#given;
    const share = settings.tau === 0 ? 1 : Math.tanh(batch / batches / settings.tau);
    const randoms = rows.map((_, place) => new Random(seed, "madaug", batch, place));
    const chosen = [...rows.keys()].filter((place) => randoms[place]!.uniform() < share);
    if (chosen.length === 0) return rows;
    const pass = settings.learns ? this.#policy.pass(await this.#features(rows)) : undefined;
    const changed = [...rows];
    for (const place of chosen) {
      const random = randoms[place]!;
      const drawn = this.#policy.draw(this.#policy.outputs(pass, place), settings.operations, random);
      changed[place] = this.#augmented(rows[place]!, drawn, random);
    }
    return changed;
  }

  due(step: number): boolean {
    const { settings, steps } = this.#given;
    return settings.learns && step < steps && step % settings.every === 0;
  }

  /** Leaves the gradient of a batch of held-out rows aside. */
  async #heldGradient(random: Random): Promise<void> {
    const { model, held } = this.#given;
    const objective = crossEntropyObjective(model);
    const batch = random.pick(held);
    for (const { gradient, size } of model.trainable()) model.gpu.clear(gradient, Math.max(16, 4 * size));
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      const { backward, metrics } = objective.record(rec, batch, "");
      rec.output("loss", metrics.loss!);
      rec.backward(backward);
    });
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0, seed: 0 });
    this.#weights.keep(GRADIENT);
  }

  /** Losses of rows with the weights moved along the held-out gradient. */
  async #lossesAt(distance: number, batch: Batch): Promise<Float32Array> {
    await this.#weights.along(distance, GRADIENT);
    const { nll } = await this.#scorer.score(batch);
    this.#weights.restore();
    return nll;
  }

  /** A lesson of the policy, on rows that are drawn for this step. */
  async after(step: number): Promise<void> {
    const { settings, examples, batchSize, seed, context } = this.#given;
    const random = new Random(seed, "madaug", "lesson", step);
    const rows = Array.from({ length: batchSize }, () => random.pick(examples));
    const pass = this.#policy.pass(await this.#features(rows));
    const drawn = rows.map((_, row) => this.#policy.draw(this.#policy.outputs(pass, row), settings.operations, random));
    const batch = stackExamples(rows.map((row, i) => this.#augmented(row, drawn[i]!, random)));
    await this.#heldGradient(random);
    this.#weights.save();
    const [ahead, behind] = [await this.#lossesAt(DISTANCE, batch), await this.#lossesAt(-DISTANCE, batch)];
    const rewards = Array.from(ahead, (loss, i) => (loss - behind[i]!) / (2 * DISTANCE));
    if (!rewards.every(Number.isFinite)) return;
    this.#policy.learn(pass, drawn, rewards);
    const chances = IMAGE_OPERATIONS.map(() => 0);
    for (const row of rows.keys())
      for (const [i, chance] of this.#policy.chances(this.#policy.outputs(pass, row)).entries())
        chances[i]! += chance / rows.length;
    context.log.event("augmentations", { step, operations: IMAGE_OPERATIONS, chances });
  }

  state(): Json {
    return Object.fromEntries(Object.entries(this.#policy.state()).map(([name, values]) => [name, [...values]]));
  }

  load(state: Json): void {
    if (!isObject(state)) throw new UserError("the saved state has no policy of augmentations", "begin again");
    const lists = Object.entries(state).map(([name, values]) => {
      if (!Array.isArray(values)) throw new UserError(`the saved policy has no numbers of ${name}`, "begin again");
      return [name, Float64Array.from(values, Number)] as const;
    });
    this.#policy.load(Object.fromEntries(lists));
  }

  async free(): Promise<void> {
    this.#reader.free();
    await this.#scorer.free();
    this.#programs.free();
    this.#weights.free();
  }
}
