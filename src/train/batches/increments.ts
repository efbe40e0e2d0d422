/** `train --increment-mask`, `--prompt-drop`, `--prompt-shuffle`: where an adapter acts, and conditions of rows. */
import type { Batch, TokenBatch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Values } from "../../method/options.ts";
import type { Model } from "../../model/model.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { type IncrementMask, incrementMask } from "../../run/training/increment-mask.ts";
import { promptCourse } from "../../run/training/prompt-course.ts";
import { promptDropped } from "../../run/training/prompt-drop.ts";
import { answerAt, promptShuffled } from "../../run/training/prompt-shuffle.ts";
import type { TRAIN } from "../options.ts";

type Options = Pick<
  Values<typeof TRAIN>,
  "increment_mask" | "increment_groups" | "prompt_drop" | "prompt_shuffle" | "prompt_until" | "prompt_weight"
>;

/** The mask that options ask for. Throws UserError for a model of no tokens, and for groups that there are not. */
export function chosenMask(
  { task }: Pick<Model, "task">,
  { groups }: Pick<BatchSource<Batch>, "groups">,
  { increment_mask: weight, increment_groups: named = [] }: Options,
): IncrementMask | undefined {
  if (weight === undefined) return undefined;
  if (task !== "causal-lm")
    throw new UserError("--increment-mask masks tokens of prompts, and a classifier has none", "leave it out");
  const places = named.map((name) => {
    const place = groups.findIndex((group) => group.name === name);
    if (place >= 0) return place;
    throw new UserError(
      `--increment-groups ${name}: there is no such group`,
      `the groups are ${groups.map((group) => group.name).join(", ")}`,
    );
  });
  return incrementMask(weight, new Set(places));
}

/**
 * Batches of which some rows have another's prompt, and some none; the source itself where none do. Throws UserError
 * for no tokens, and where no row has a prompt.
 */
export function withPromptsChanged(
  source: BatchSource<TokenBatch> | BatchSource<Batch>,
  { prompt_drop, prompt_shuffle, prompt_until: until, prompt_weight: weight }: Options,
  given: {
    readonly seed: number;
    readonly pad: number | undefined;
    readonly steps: number;
    readonly accumulate: number;
  },
): { readonly source?: BatchSource<TokenBatch> } {
  if (prompt_drop === 0 && prompt_shuffle === 0) return {};
  const flag = prompt_drop > 0 ? "--prompt-drop" : "--prompt-shuffle";
  if (!("data" in source)) throw new UserError(`${flag} is for rows of tokens`, "leave it out");
  const tokens = source as Parameters<typeof promptShuffled>[0];
  if (!tokens.data.sequences.some((sequence) => answerAt(sequence) !== undefined))
    throw new UserError(
      `${flag} changes the prompts of rows, and no row has one`,
      "give rows of prompt and completion or of messages, or leave it out",
    );
  const { seed, pad = 0, steps, accumulate } = given;
  const common = { seed, pad, course: promptCourse({ steps, accumulate, until, weight }) };
  const shuffled = prompt_shuffle > 0 ? promptShuffled(tokens, { chance: prompt_shuffle, ...common }) : tokens;
  return { source: prompt_drop > 0 ? promptDropped(shuffled, { chance: prompt_drop, ...common }) : shuffled };
}
