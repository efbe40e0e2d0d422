/**
 * What a gradient rule is: another way from the rows of a step to its gradient than that of their mean loss. Every file
 * of train/methods/gradient-rules exports one as `method`: `--gradient-rule pcgrad` is pcgrad.ts. Some go to the
 * gradient of the loss by another path; others, with `groups`, make one gradient of those of the groups of --data.
 * Several compose as update-rule.ts says; one at most combines groups.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import type { Laws } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { matcher } from "../name-patterns.ts";
import { byGroup } from "./by-group.ts";
import type { Objective } from "./objective.ts";
import type { SourceModulation } from "./source-modulation.ts";
import type { UpdateRule } from "./update-rule.ts";

/** What may hold for a gradient rule, under its defaults. */
export const GRADIENT_RULE_LAWS = {
  oneGroup: "the gradient of one group stays as it is, bit for bit, from one pass",
  descends: "a step along the gradient raises no group's loss, to first order",
  twice: "a group that is there twice counts once",
  scales: "gradients ten times as long give one ten times as long",
  plainAtZero: "a radius of 0 is the gradient itself, from one pass",
  weightsReturn: "the weights are as before afterwards, bit for bit, and one pass reports the step",
  sameForSeed: "one seed gives one gradient",
} as const;

export type GradientRuleLaw = keyof typeof GRADIENT_RULE_LAWS;

/** Claims of rules that combine groups, and of those that do not; a rule names its exceptions after them. */
export const GROUP_LAWS: Laws<GradientRuleLaw> = {
  ...{ oneGroup: true, descends: true, twice: true, scales: true, sameForSeed: true },
  ...{ plainAtZero: "it has no radius", weightsReturn: "it moves no weight" },
};
export const PATH_LAWS: Laws<GradientRuleLaw> = {
  ...{ plainAtZero: true, weightsReturn: true, sameForSeed: true },
  ...{ oneGroup: "it knows no groups", descends: "it knows no groups", twice: "it knows no groups" },
  scales: "where it looks does not depend on the gradient's length, and the loss there may be anything",
};

/** What a rule works with. */
export interface GradientRuleSetup<O extends Options = Options> {
  readonly gpu: Gpu;
  /** All that is trained. */
  readonly parameters: readonly Parameter[];
  readonly values: Values<O>;
  readonly seed: number;
  /** Names of the groups of rows; of rules that have `groups`. */
  readonly groups: readonly string[];
  /** Whether a weight's gradients are compared and weighed; undefined where all are. */
  readonly isShared: ((name: string) => boolean) | undefined;
}

export interface GradientRule<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<GradientRuleLaw>;
  /** Whether it makes one gradient of those of groups of rows, and of how many at most. */
  readonly groups?: { readonly most?: number };
  /** Refuses values that do not fit together, or the groups. Throws UserError. */
  check?(values: Values<O>, groups: readonly string[]): void;
  /** Its rule in one run; of those that modulate none. Throws UserError for weights that do not suit it. */
  rule?(setup: GradientRuleSetup<O>): UpdateRule;
  /**
   * Of `train` alone: what changes gradients on their way back through a classifier; undefined where nothing does.
   * Throws UserError for a model that does not suit it.
   */
  modulates?(given: { readonly model: Model; readonly values: Values<O> }): SourceModulation | undefined;
}

export const defineGradientRule = <const O extends Options>(rule: GradientRule<O>): GradientRule<O> => rule;

/** The options that name them. */
export const GRADIENT_RULE = {
  gradient_rule: {
    type: "string[]",
    kind: "gradient-rule",
    help: "another way to the gradient of a step: from the worst place nearby, or from those of the groups of --data",
  },
  gradient_shared: {
    type: "string[]",
    needs: "gradient_rule",
    help: "weights whose gradients a rule of groups compares and weighs, by pattern; the others take the groups' mean",
    value: "GLOB",
  },
} as const satisfies Options;

/**
 * What a chosen rule modulates the model by; undefined where none does. Throws UserError beside other rules, whose
 * passes it would count as steps.
 */
export function chosenModulation(chosen: readonly Bound<GradientRule>[], model: Model): SourceModulation | undefined {
  const found = chosen.find(({ method }) => method.modulates);
  if (!found) return undefined;
  const other = chosen.find((one) => one !== found);
  if (other)
    throw new UserError(
      `--gradient-rule ${found.method.name} counts every pass as a step, and ${other.method.name} makes several`,
      "name one of them",
    );
  return found.method.modulates!({ model, values: found.values });
}

/** What the chosen rules make of an objective, and what they do in a step. */
export interface ChosenGradientRules {
  readonly objective: Objective<Batch>;
  readonly updates: readonly UpdateRule[];
}

/**
 * Sets the chosen rules up. `refuses` says why the script's loss cannot be taken apart by groups, if so. Throws
 * UserError for rules, groups, weights and losses that do not go together.
 */
export function chooseGradientRules(
  chosen: readonly Bound<GradientRule>[],
  {
    objective,
    groups,
    shared,
    packs,
    refuses,
    takesModulation = false,
    ...setup
  }: Pick<GradientRuleSetup, "gpu" | "parameters" | "seed"> & {
    readonly objective: Objective<Batch>;
    /** Names of the groups of data. */
    readonly groups: readonly string[];
    /** Patterns of --gradient-shared. */
    readonly shared: readonly string[] | undefined;
    /** Whether rows hold several sequences. */
    readonly packs: boolean;
    readonly refuses?: string | undefined;
    /** Whether the objective was made with `chosenModulation`. */
    readonly takesModulation?: boolean;
  },
): ChosenGradientRules {
  const combining = chosen.filter(({ method }) => method.groups);
  const flag = `--gradient-rule ${combining[0]?.method.name}`;
  if (combining.length > 1)
    throw new UserError(
      `${combining.map(({ method }) => method.name).join(" and ")} both make one gradient of those of groups`,
      "name one of them in --gradient-rule",
    );
  if (combining.length === 0 && shared)
    throw new UserError("--gradient-shared is for a rule of groups", "leave it out, or --gradient-rule pcgrad");
  if (combining.length > 0) {
    const { groups: asked } = combining[0]!.method;
    if (groups.length > (asked?.most ?? Number.POSITIVE_INFINITY))
      throw new UserError(`${flag} weighs at most ${asked!.most} groups, and --data has ${groups.length}`);
    if (packs && groups.length > 1)
      throw new UserError(`${flag} takes rows apart by their group, and --pack joins them`, "leave out --pack");
    if (objective.parts || refuses)
      throw new UserError(
        `${flag} takes the loss apart by groups of rows, and ${refuses ?? `that of ${objective.name} has parts already`}`,
        "leave one of them out",
      );
  }
  const modulating = chosen.find(({ method }) => method.modulates);
  if (modulating && !takesModulation)
    throw new UserError(
      `--gradient-rule ${modulating.method.name} changes the way back from the labels' loss of a classifier, which this training has not`,
      "bun run train with rows of numbers, and no other loss, head or balance",
    );
  const matches = shared && matcher(shared);
  if (matches && !setup.parameters.some(({ name }) => matches(name)))
    throw new UserError(`--gradient-shared ${shared.join(",")} matches no weight that is trained`);
  for (const { method, values } of chosen) method.check?.(values, groups);
  return {
    objective: combining.length > 0 ? byGroup(objective, groups) : objective,
    updates: chosen.flatMap(
      ({ method, values }) => method.rule?.({ ...setup, values, groups, isShared: matches }) ?? [],
    ),
  };
}

declare module "../../method/registry.ts" {
  interface Contracts {
    "gradient-rule": GradientRule;
  }
}
