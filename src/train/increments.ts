/** `train --increment-mask` and `--prompt-drop`: where an adapter acts, and rows without their condition. */
import type { Batch, TokenBatch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import { type IncrementMask, incrementMask } from "../run/training/increment-mask.ts";
import { promptDropped } from "../run/training/prompt-drop.ts";
import type { TRAIN } from "./options.ts";

type Options = Pick<Values<typeof TRAIN>, "increment_mask" | "increment_groups" | "prompt_drop">;

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

/** Batches of which some rows lack their prompt; the source itself where none do. Throws UserError for no tokens. */
export function withPromptsDropped(
  source: BatchSource<TokenBatch> | BatchSource<Batch>,
  { prompt_drop: chance }: Options,
  { seed, pad }: { readonly seed: number; readonly pad: number | undefined },
): { readonly source?: BatchSource<TokenBatch> } {
  if (chance === 0) return {};
  if (!("data" in source)) throw new UserError("--prompt-drop is for rows of tokens", "leave it out");
  return { source: promptDropped(source as BatchSource<TokenBatch>, { chance, seed, pad: pad ?? 0 }) };
}
