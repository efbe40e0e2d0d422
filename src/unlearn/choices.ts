/** What options and method make of a run together: the terms of the objective, and their weights. */
import { parseGroups } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import { adapterFlag, trainsAdapter } from "../run/training/adapter-choice.ts";
import type { TermWeights, UnlearnObjective } from "./contract.ts";
import type { UnlearnRun } from "./run.ts";
import type { Smoothing } from "./smoothing.ts";
import type { Part, UnlearnSetup } from "./terms.ts";

/** Weight of the decoupled prompts when --pd-weight does not say. */
const PD_WEIGHT = 0.5;

export interface Choices {
  readonly chosen: Bound<UnlearnObjective>;
  readonly weights: TermWeights & { readonly pd: number };
  readonly retain: UnlearnSetup["retain"];
  readonly parts: readonly Part[];
  /** Patterns of the weights that are trained, or a function that chooses them by tracing. */
  readonly trains: ReturnType<NonNullable<UnlearnObjective["trains"]>> | undefined;
}

/** Whether a term compares outputs or states with those of the model as it was. */
export const readsOriginal = (method: UnlearnObjective, retain: Choices["retain"]): boolean =>
  method.original === true || retain === "kl" || retain === "states";

/** Throws UserError for options that do not fit together or that the method cannot follow. */
export function chooseTerms(
  { options, warn }: Pick<UnlearnRun, "options" | "warn">,
  chosen: Bound<UnlearnObjective>,
  smoothing: Smoothing | undefined,
): Choices {
  const { method, values } = chosen;
  const usual = options.retain_loss ? Math.max(method.weights.retain, 1) : method.weights.retain;
  const weights = {
    forget: options.forget_weight ?? method.weights.forget,
    retain: options.retain_weight ?? usual,
    pd: options.pd_weight ?? PD_WEIGHT,
  };
  const own = method.retain === undefined || method.retain === "none" ? "nll" : method.retain;
  const retain = weights.retain === 0 && !method.adaptive ? "none" : (options.retain_loss ?? own);
  if (retain !== "none" && !options.retain)
    throw new UserError(
      "--retain is missing",
      `give rows to keep, or --retain-weight 0 for ${method.name} without them`,
    );
  if (weights.forget === 0 && retain === "none" && options.pd === undefined)
    throw new UserError(`--forget-weight 0 leaves ${method.name} nothing to learn`);
  if (method.adaptive && retain === "none")
    throw new UserError(
      `--retain-loss none leaves ${method.name} nothing to follow`,
      "its weights change from step to step, and one of them is of the rows to keep",
    );
  if (options.retain && retain === "none")
    warn(`${method.name} has no retain term here: --retain is not used; --retain-weight 1 adds one`);
  if (method.trains && trainsAdapter(options))
    throw new UserError(
      `${method.name} chooses the weights it trains, and ${adapterFlag(options)} trains others`,
      `leave out ${adapterFlag(options)}, or take another method and choose its targets`,
    );
  if (options.original !== undefined && !readsOriginal(method, retain))
    throw new UserError(
      `--original is for losses that read what the model as it was says, and ${method.name} reads likelihoods at most`,
      "leave it out, or give --retain-loss kl",
    );
  if (options.anchor === "retain" && !options.retain) throw new UserError("--anchor retain needs --retain");
  if (smoothing?.averages && (options.eval_data ?? options.eval_split))
    warn(`--smooth ${smoothing.name}: held-out losses and --best are of the weights on the way, not of their mean`);
  const trains = method.trains?.(values);
  const readsAgain = method.needs?.some((capability) => capability.readsAgain);
  const again = typeof trains === "function" ? "tracing" : readsAgain || method.twins ? method.name : undefined;
  if (again !== undefined && parseGroups(options.forget ?? []).some(({ path }) => path === "-"))
    throw new UserError(`rows from stdin cannot be read twice, as ${again} asks for`, "write them to a file first");
  const parts: Part[] = ["forget"];
  if (retain !== "none") parts.push("retain");
  if (options.pd !== undefined) parts.push("pd");
  if (options.term_weights === "pareto" && (parts.length !== 2 || options.pd !== undefined))
    throw new UserError(
      `--term-weights pareto weighs a forget and a retain term, and here is ${parts.length === 1 ? "one term" : "--pd too"}`,
      parts.length === 1 ? "give --retain and a --retain-weight, or leave it out" : "leave out one of them",
    );
  return { chosen, weights, retain, parts, trains };
}
