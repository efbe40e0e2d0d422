/**
 * `--precision`: linear layers of the model that is trained compute in numbers of few bits, simulated in f32. Hao et
 * al., Low-Precision Training of Large Language Models, 2025, https://arxiv.org/abs/2505.01043
 *
 *   forward   weights and activations to nearest; products add up in f32
 *   back      the gradient of a layer's result, by draws that are right on average, before both of its products
 *   weights   those that are trained stay f32, and gradients pass straight through to them
 *
 * Held-out rows are measured in the same numbers. Steps of `int4-qat` are learnt beside the weights, which are rounded
 * to them at the end, so that the result is what was trained.
 */
import { UserError } from "../../../errors.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import type { Values } from "../../../method/options.ts";
import type { Model } from "../../../model/model.ts";
import { type LinearPrecision, linearWeights, setPrecision } from "../../../model/precision.ts";
import { firstSteps, gradientInFormat, inFormat, learnedSteps } from "../../../tensor/ops/number-format.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { sizeOf } from "../../../tensor/tensor.ts";
import { Programs } from "../../programs.ts";
import type { Controller } from "../controller.ts";
import type { UpdateRule } from "../update-rule.ts";
import { LossScale } from "./loss-scale.ts";
import type { PRECISION } from "./options.ts";
import { type PrecisionParts, parsePrecision } from "./parse.ts";

export type PrecisionOptions = Partial<Values<typeof PRECISION>>;

/** Rate of learned steps over that of the weights, which are some ten times as large. */
const STEP_RATE = 0.1;

interface Learned {
  readonly weight: Parameter;
  readonly steps: Parameter;
}

/** What a training in few bits brings. */
export interface TrainingPrecision {
  /** Trained beside the model. */
  readonly extra: readonly Parameter[];
  readonly controllers: readonly Controller[];
  readonly updates: readonly UpdateRule[];
  /** What multiplies the rate of a parameter. */
  rateOf(parameter: Parameter): number;
}

/** Steps of every row of the weights, which are read back once. Throws UserError for a weight that is not trained. */
async function learnedOf(model: Model, names: ReadonlySet<string>, most: number): Promise<Learned[]> {
  const { gpu } = model;
  const found: Learned[] = [];
  for (const name of names) {
    const weight = model.parameters.get(name)!;
    const rows = sizeOf(weight.shape.slice(0, -1));
    const steps = new Parameter(gpu, `steps of ${name}`, [rows]);
    steps.decays = false;
    if (!gpu.dry) steps.write(firstSteps(await gpu.readFloats(weight.buffer, weight.size), rows, most));
    found.push({ weight, steps });
  }
  return found;
}

/** Puts the weights on their steps once training is over, where they have steps; frees what was held. */
class RoundAtEnd implements UpdateRule {
  readonly name = "precision";
  readonly #learned: readonly Learned[];
  readonly #most: number;
  readonly #programs: Programs;
  readonly #lossScale: LossScale | undefined;

  constructor({ gpu }: Pick<Model, "gpu">, learned: readonly Learned[], most: number, lossScale?: LossScale) {
    this.#lossScale = lossScale;
    this.#learned = learned;
    this.#most = most;
    this.#programs = new Programs(gpu);
  }

  async end(): Promise<void> {
    if (this.#learned.length === 0) return;
    const { program } = await this.#programs.get("round", (rec) => {
      for (const { weight, steps } of this.#learned) {
        const w = rec.state(weight.name, weight.shape, weight.buffer);
        const s = rec.state(steps.name, steps.shape, steps.buffer);
        const x = learnedSteps(rec, w, { steps: s, most: this.#most });
        const params = { n: weight.size, accumulate: 0 };
        rec.step({
          ...{ kernel: "recorder/add-into", bind: { x, y: w }, params },
          groups: spanGroups(Math.ceil(weight.size / 4)),
        });
      }
    });
    program.run();
  }

  free(): void {
    this.#programs.free();
    for (const { steps } of this.#learned) steps.free();
    this.#lossScale?.memory.free();
  }
}

/** What the layers compute with. */
function layersIn(
  weights: ReadonlySet<string>,
  { weights: held, activations, gradients, learned }: PrecisionParts,
  steps: ReadonlyMap<string, Parameter>,
  lossScale: LossScale | undefined,
): LinearPrecision {
  const most = 2 ** ((learned ?? 2) - 1) - 1;
  const factor = (rec: Recorder) => lossScale && rec.state("loss scale", [1], lossScale.memory.buffer);
  return {
    weights,
    ...(activations && { reads: (rec, x) => inFormat(rec, x, activations) }),
    ...(held && { weight: (rec, w) => inFormat(rec, w, held) }),
    ...(learned !== undefined && {
      weight: (rec, w, name) => learnedSteps(rec, w, { steps: rec.parameter(steps.get(name)!), most }),
    }),
    ...(gradients && {
      gives: (rec, y, name) => gradientInFormat(rec, y, gradients, { key: `gradient of ${name}`, factor: factor(rec) }),
    }),
  };
}

/** What `--precision` asks of a training of the model, whose forward passes it changes; undefined where nothing. */
export async function trainingPrecision(
  model: Model,
  { precision: text, loss_scale: scale = 65536, loss_scale_every: every = 2000 }: PrecisionOptions,
): Promise<TrainingPrecision | undefined> {
  if (text === undefined) return undefined;
  const parts = await parsePrecision(text);
  const weights = new Set(linearWeights(model.specs, model.architecture).map(({ name }) => name));
  if (weights.size === 0)
    throw new UserError(
      `--precision is of linear layers below the head, and this ${model.architecture.name} has none`,
      "leave it out",
    );
  const coarse = [...weights].find((name) => model.parameters.get(name)?.dtype !== "f32");
  if (coarse !== undefined)
    throw new UserError(
      `--precision rounds weights that are held in f32, and ${coarse} is held in bf16`,
      "add --dtype f32",
    );
  const { learned: bits } = parts;
  if (bits !== undefined && model.adapter)
    throw new UserError(
      `--precision ${text} learns the steps of weights, which an adapter leaves as they are`,
      "leave the adapter out, or name a format: weights=int4",
    );
  const most = bits === undefined ? 0 : 2 ** (bits - 1) - 1;
  const learned = bits === undefined ? [] : await learnedOf(model, weights, most);
  const steps = new Map(learned.map((one) => [one.weight.name, one.steps]));
  const lossScale = parts.gradients?.name === "f16" ? new LossScale(model.gpu, scale, every) : undefined;
  setPrecision(model, layersIn(weights, parts, steps, lossScale));
  const own = new Set(steps.values());
  return {
    extra: [...own],
    controllers: lossScale ? [lossScale] : [],
    updates: [new RoundAtEnd(model, learned, most, lossScale)],
    rateOf: (parameter) => (own.has(parameter) ? STEP_RATE : 1),
  };
}
