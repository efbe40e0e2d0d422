/**
 * What a way to assign credit is: how each layer of a small network hears what it should change. Every file of
 * methods/credits exports one as `method`: `--credit ccl` is ccl.ts. The result is the ordinary model.
 */
import type { Batch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Model } from "../model/model.ts";
import type { Objective } from "../run/training/objective.ts";
import type { Parameter } from "../tensor/parameter.ts";

export interface CreditGiven<O extends Options = Options> {
  readonly model: Model;
  /** Units of each hidden layer, the first layer first. */
  readonly widths: readonly number[];
  readonly values: Values<O>;
  readonly seed: number;
}

export interface CreditWork {
  readonly objective: Objective<Batch>;
  /** Trained beside the model, and left out of the result. */
  readonly extra: readonly Parameter[];
}

export interface Credit<O extends Options = Options> extends MethodInfo<O> {
  /** Types of models that it trains; perceptrons (mlp) when left out. */
  readonly models?: readonly string[];
  /** How training goes in place of the way back through the whole model; that way when left out. */
  work?(given: CreditGiven<O>): CreditWork;
}

export const defineCredit = <const O extends Options>(credit: Credit<O>): Credit<O> => credit;

/** The option that names it. */
export const CREDIT = {
  credit: {
    type: "string",
    kind: "credit",
    default: "backprop",
    help: "how layers of a perceptron (mlp) or an equilibrium network hear what they should change",
  },
} as const satisfies Options;

/** Options that change what is minimised, or read it, with the value at which they do not. */
const OBJECTIVES: Readonly<Record<string, unknown>> = {
  loss_balance: "none",
  head: "own",
  heads: "one",
  smoothing: 0,
  z_loss: 0,
  mixup: 0,
  contrastive: 0,
  certified: false,
  prequential: false,
  increment_mask: undefined,
  schedule_search: undefined,
  output_scale: undefined,
};

/** Throws UserError for options that name another objective. */
export function checkCredit({ method: { name, work } }: Bound<Credit>, loss: string, options: object): void {
  if (!work) return;
  const given = new Map(Object.entries(options));
  const says = (key: string) => given.get(key) !== undefined && given.get(key) !== OBJECTIVES[key];
  const other = loss === "ce" ? Object.keys(OBJECTIVES).find(says) : "loss";
  if (other !== undefined)
    throw new UserError(
      `--credit ${name} has losses of its own, and --${other.replaceAll("_", "-")} is for that of the whole model`,
      "leave one of them out",
    );
}

/**
 * The work of a credit; undefined where the way back goes through the whole model. Throws UserError for other models.
 */
export function creditWork({ method, values }: Bound<Credit>, model: Model, seed: number): CreditWork | undefined {
  const { models = ["mlp"], name, work } = method;
  if (!work) return undefined;
  const { hidden_sizes: widths } = model.json;
  if (
    model.task !== "classifier" ||
    !models.includes(model.architecture.name) ||
    !Array.isArray(widths) ||
    widths.length === 0
  )
    throw new UserError(
      `--credit ${name} is for classifiers of model_type ${models.join(" or ")} with hidden_sizes, and this is no such model`,
      "leave it out",
    );
  if (model.adapter)
    throw new UserError(`--credit ${name} trains whole layers, and an adapter is trained`, "leave one out");
  return work({ model, widths: widths.map(Number), values, seed });
}

declare module "../method/registry.ts" {
  interface Contracts {
    credit: Credit;
  }
}
