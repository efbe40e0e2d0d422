/**
 * Experts Weights Averaging: the feed-forward networks of every other block are trained as several experts, copies of
 * one at first. Each reads a random, equal share of a batch's tokens, and after every step all are pulled together:
 *
 *   W_i <- (1 - b) W_i + b / (N - 1) sum over j of others W_j,    b from 0 to its last value in a line over the steps
 *
 * The model's own weights are the experts' mean at all times: what is measured, saved and left in the end is a dense
 * model of the same size. Experts Weights Averaging: A New General Training Scheme for Vision Transformers 2023,
 * https://arxiv.org/abs/2308.06093
 */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Options, Values } from "../../method/options.ts";
import { type LayerInstead, tellInstead } from "../../model/layers-instead.ts";
import type { Model } from "../../model/model.ts";
import { layerOf } from "../../model/names.ts";
import { Programs } from "../../run/programs.ts";
import type { Objective } from "../../run/training/objective.ts";
import type { UpdateRule } from "../../run/training/update-rule.ts";
import { collect, dispatch, expertBias, groupedLinear } from "../../tensor/ops/moe.ts";
import { randomShares, type SharePlan } from "../../tensor/ops/shares.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";

export const MOE_TRAIN = {
  moe_train: {
    type: "'ewa'",
    help: "train the feed-forward networks of every other block as several experts on random shares of the tokens, pulled together after every step; the result is their mean",
  },
  moe_experts: {
    type: "number.integer >= 1",
    default: 4,
    with: { moe_train: "ewa" },
    help: "copies of each of these networks",
    value: "N",
  },
  moe_share: {
    type: "0 <= number <= 1",
    default: 0.1,
    with: { moe_train: "ewa" },
    help: "of the others' mean that an expert takes at the last step, from 0 at the first, in a line",
    value: "B",
  },
} as const satisfies Options;

/** Linear layers between a block's own width and its inner one, by what follows the number of the block. */
const FEED_FORWARD = /^((mlp|ffn|feed_forward|intermediate|output)\..*|fc1|fc2)\.weight$/;

/** A layer of a feed-forward network, and what stands for its weight and its bias: those of all experts. */
interface SharedLayer {
  readonly block: string;
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly weights: Parameter;
  readonly biases: Parameter | undefined;
  readonly transposed: boolean;
}

/** Every other block that has a feed-forward network, from the second on; the only one where there is one. */
function chosenBlocks(model: Model): ReadonlyMap<string, Parameter[]> {
  const found = new Map<string, Parameter[]>();
  for (const parameter of model.parameters.values()) {
    const layer = layerOf(parameter.name);
    if (!layer || !FEED_FORWARD.test(layer.rest) || parameter.shape.length !== 2) continue;
    const block = `${layer.prefix}.${layer.index}`;
    found.set(block, [...(found.get(block) ?? []), parameter]);
  }
  return new Map([...found].filter((_, i) => i % 2 === 1 || found.size === 1));
}

/** Throws UserError for models that it cannot train so. */
function checkModel(model: Model, blocks: ReadonlyMap<string, readonly Parameter[]>): void {
  const refuse = (why: string, hint: string) => {
    throw new UserError(`--moe-train ewa ${why}`, hint);
  };
  if (model.adapter) refuse("trains copies of weights, and an adapter leaves them as they are", "leave one out");
  if (model.specs.some(({ routes }) => routes))
    refuse(`shares tokens out by chance, and this ${model.architecture.name} has routers`, "train it as it is");
  if (blocks.size === 0)
    refuse(
      `makes experts of the feed-forward networks of blocks, and this ${model.architecture.name} has none`,
      "leave it out",
    );
  const held = [...blocks.values()].flat().find(({ trainable }) => !trainable);
  if (held) refuse(`trains ${held.name}, which is frozen`, "change --freeze or --train-only");
  const coarse = [...blocks.values()].flat().find(({ dtype }) => dtype !== "f32");
  if (coarse) refuse(`averages ${coarse.name}, which is held in ${coarse.dtype}`, "leave out --dtype");
}

/** The objective of a model whose networks are experts while it is trained. */
export const withShares = <B>(objective: Objective<B>, shares: ExpertShares | undefined): Objective<B> =>
  shares
    ? {
        ...objective,
        record(rec, batch, part) {
          shares.begin(rec);
          return objective.record(rec, batch, part);
        },
      }
    : objective;

/** What `--moe-train ewa` asks for; undefined where nothing is. Throws UserError. */
export const expertShares = (
  { moe_train: way, moe_experts: experts, moe_share: share }: Values<typeof MOE_TRAIN>,
  { model, steps }: { readonly model: Model; readonly steps: number },
): ExpertShares | undefined => (way === "ewa" ? new ExpertShares(model, { experts, share, steps }) : undefined);

export interface EwaOptions {
  readonly experts: number;
  readonly share: number;
  readonly steps: number;
}

export class ExpertShares implements UpdateRule {
  readonly name = "ewa";
  readonly #gpu: Gpu;
  readonly #layers: readonly SharedLayer[];
  readonly #options: EwaOptions;
  readonly #programs: Programs;

  /** Makes the experts, and holds the model's own weights in their place. Throws UserError. */
  constructor(model: Model, options: EwaOptions) {
    const blocks = chosenBlocks(model);
    checkModel(model, blocks);
    this.#gpu = model.gpu;
    this.#options = options;
    this.#programs = new Programs(model.gpu);
    this.#layers = [...blocks].flatMap(([block, weights]) =>
      weights.map((weight) => {
        const bias = model.parameters.get(weight.name.replace(/weight$/, "bias"));
        return {
          ...{ block, weight, bias, transposed: model.isInFirst(weight) },
          weights: this.#copies(weight),
          biases: bias && this.#copies(bias),
        };
      }),
    );
  }

  #copies(own: Parameter): Parameter {
    const { experts } = this.#options;
    const { name, shape, size, buffer } = own;
    const copies = new Parameter(this.#gpu, `experts of ${name}`, [experts, ...shape], "f32", true);
    for (let e = 0; e < experts; e++) this.#gpu.copy(buffer, 0, copies.buffer, 4 * e * size, 4 * size);
    copies.decays = own.decays && shape.length > 1;
    own.trainable = false; // it follows its experts
    return copies;
  }

  /** What is trained in the place of the model's own weights. */
  get parameters(): readonly Parameter[] {
    return this.#layers.flatMap(({ weights, biases }) => (biases ? [weights, biases] : [weights]));
  }

  /** Before the model is recorded: of a training, experts compute what their networks would. */
  begin(rec: Recorder): void {
    if (!rec.training) return;
    const plans = new Map<string, SharePlan>();
    const instead = new Map<Parameter, LayerInstead>();
    for (const { block, weight, weights, biases, transposed } of this.#layers)
      instead.set(weight, (x, inputs) => {
        const tokens = x.shape[0]!;
        const given = inputs.tokenShares?.();
        const shares = given?.shape[0] === tokens ? given : undefined; // some blocks read one row of each example
        const { experts } = this.#options;
        const plan = plans.get(block) ?? randomShares(rec, { tokens, experts, shares, key: `ewa ${block}` });
        plans.set(block, plan);
        const rows = groupedLinear(rec, dispatch(rec, x, plan), rec.parameter(weights), plan, { transposed });
        return collect(rec, biases ? expertBias(rec, rows, rec.parameter(biases), plan) : rows, plan);
      });
    tellInstead(rec, instead);
  }

  /** Pulls the experts together, and takes their mean. */
  async after(step: number): Promise<void> {
    const { experts, share, steps } = this.#options;
    const { program } = await this.#programs.get("pull", (rec) => {
      for (const { weight, bias, weights, biases } of this.#layers) {
        recordPull(rec, weights, weight);
        if (bias && biases) recordPull(rec, biases, bias);
      }
    });
    const b = (share * step) / steps;
    program.run({ pull: experts === 1 ? 0 : (b * experts) / (experts - 1) });
  }

  free(): void {
    this.#programs.free();
    for (const parameter of this.parameters) parameter.free();
  }
}

/** All experts of a weight go a part "pull" of the way to their mean, which the weight becomes. */
function recordPull(rec: Recorder, all: Parameter, own: Parameter): void {
  rec.step({
    kernel: "moe/pull-together",
    bind: {
      weights: rec.state(all.name, all.shape, all.buffer),
      mean: rec.state(own.name, own.shape, own.buffer),
    },
    params: { count: own.size, e: all.shape[0]!, pull: dynamic("pull") },
    groups: spanGroups(own.size),
  });
}
