/**
 * How large a model, for how long: one pass over fresh data. Komatsuzaki 2019, https://arxiv.org/abs/1906.06669.
 *
 *   C = 6 P N,  N = rho P  =>  P = sqrt(C / (6 rho))
 *
 * C is compute in floating-point operations, P parameters, N tokens, rho tokens per parameter: about 5 in that study,
 * about 20 in later ones (Hoffmann et al. 2022, https://arxiv.org/abs/2203.15556). Data of D < N tokens repeat N / D
 * times.
 */
import { UserError } from "../errors.ts";
import { fitPowerLaw, type PowerLaw, powerLawAt } from "./power-law-fit.ts";

export interface PlanRequest {
  /** Floating-point operations that may be spent; or else `parameters`. */
  readonly flops?: number;
  /** Parameters of the model; with `flops` too, tokens follow from both. */
  readonly parameters?: number;
  /** Tokens of the data; unlimited when left out. */
  readonly tokens?: number;
  readonly tokensPerParameter?: number;
  /** Tokens of an optimiser step. */
  readonly batchTokens?: number;
  readonly dropout?: number;
}

export interface Plan {
  readonly parameters: number;
  /** Tokens to train on, repeats counted. */
  readonly trainTokens: number;
  readonly tokensPerParameter: number;
  readonly flops: number;
  /** Passes over the data; 0 when their number of tokens is unknown. */
  readonly epochs: number;
  readonly steps?: number;
  readonly advice: readonly string[];
}

const positive = (value: number | undefined, name: string): void => {
  if (value !== undefined && !(value > 0 && Number.isFinite(value))) {
    throw new UserError(`--${name} ${value} is not a number above 0`);
  }
};

const short = (value: number): string =>
  value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });

/** Throws UserError unless compute or parameters are given. */
export function planTraining(request: PlanRequest): Plan {
  const { flops: budget, tokens, tokensPerParameter: wanted = 20, batchTokens, dropout = 0 } = request;
  positive(budget, "flops");
  positive(request.parameters, "parameters");
  positive(tokens, "tokens");
  positive(wanted, "tokens-per-param");
  positive(batchTokens, "batch-tokens");
  if (budget === undefined && request.parameters === undefined) {
    throw new UserError("a plan needs --flops or --parameters", "say what may be spent, or how large the model is");
  }
  const parameters = request.parameters ?? Math.sqrt(budget! / (6 * wanted));
  const trainTokens = budget === undefined ? wanted * parameters : budget / (6 * parameters);
  const ratio = trainTokens / parameters;
  const epochs = tokens === undefined ? 0 : trainTokens / tokens;

  const advice: string[] = [];
  if (epochs > 1 + 1e-9) {
    advice.push(`data repeat ${epochs.toFixed(1)} times: the loss will be higher than on as many fresh tokens`);
    if (request.parameters === undefined) {
      advice.push(`${short(trainTokens - tokens!)} more tokens would make it one pass`);
    } else {
      advice.push(
        `one pass over ${short(tokens!)} tokens is for ${short(tokens! / wanted)} parameters at ${wanted} tokens each`,
      );
    }
    if (dropout === 0) advice.push("repeated data overfit: consider dropout, or stop when the held-out loss rises");
  } else if (dropout > 0) {
    advice.push(`dropout ${dropout} costs loss when no token is seen twice: use 0`);
  }
  if (epochs > 0 && epochs < 0.5) {
    advice.push(`only ${(100 * epochs).toFixed(0)} % of the data are used: there is room to choose the best`);
  }
  if (ratio < 1 || ratio > 200) advice.push(`${ratio.toPrecision(3)} tokens per parameter is far from 5 to 20`);
  return {
    parameters,
    trainTokens,
    tokensPerParameter: ratio,
    flops: 6 * parameters * trainTokens,
    epochs,
    ...(batchTokens !== undefined && { steps: Math.ceil(trainTokens / batchTokens) }),
    advice,
  };
}

/**
 * The power law that is nearest to a run's losses (step > 0, loss), at least 3 of them, and the losses that it gives at
 * other steps.
 */
export function forecast(
  points: readonly (readonly [number, number])[],
  at: readonly number[],
): { law: PowerLaw; losses: number[] } {
  const law = fitPowerLaw(points);
  return { law, losses: at.map((step) => powerLawAt(law, step)) };
}
