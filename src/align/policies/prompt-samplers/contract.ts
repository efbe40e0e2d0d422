/**
 * What a prompt sampler is: a bandit whose arms are the groups of prompts, --data NAME=FILE each, and whose reward is
 * how large the advantages of their answers are. Each file of methods/prompt-samplers/ is one: `--curriculum sec` is
 * sec.ts.
 *
 * A group that is always solved, or never, has no advantages. The frame draws the group of every prompt by the shares,
 * goes through the rows of each group in an order of its own, and saves the state with the run.
 */
import type { Options, Values } from "../../../method/options.ts";
import type { MethodInfo } from "../../../method/registry.ts";
import type { Stateful } from "../../../method/stateful.ts";

/** One bandit at work. Its state is JSON, and resumes exactly. */
export interface Bandit extends Stateful {
  /** Of every group the share in which it is drawn; they sum to 1. */
  shares(): number[];
  /** Hears of a rollout the mean |advantage| of every answer, by group; a group that was not drawn has none. */
  heard(sizes: readonly (readonly number[])[]): void;
  /** What the shares are made of, one for each group, by name. */
  told(): Readonly<Record<string, readonly number[]>>;
}

export interface PromptSampler<O extends Options = Options> extends MethodInfo<O> {
  readonly kind: "prompt-sampler";
  make(groups: number, values: Values<O>): Bandit;
}

export const definePromptSampler = <const O extends Options>(
  sampler: Omit<PromptSampler<O>, "kind">,
): PromptSampler<O> => ({ kind: "prompt-sampler", ...sampler });

declare module "../../../method/registry.ts" {
  interface Contracts {
    "prompt-sampler": PromptSampler;
  }
}
