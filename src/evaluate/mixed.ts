/** `evaluate --with`: every model is measured as a mixture with another. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { checkMixed, type MixedWith } from "../run/measuring/mixed-model.ts";
import type { Reader } from "../run/scoring/read-rows.ts";
import type { EvaluateOptions } from "./options.ts";

/** An open model, by what it is to the evaluation. */
interface Named {
  readonly role: string;
  readonly checkpoint: Checkpoint;
  readonly reader: Reader;
}

/** A model of a plan. */
interface Planned {
  readonly role: string;
  readonly ref: string;
  readonly checkpoint: Checkpoint;
}

/** The model of `--with` taken out of the list, and given to every model that is measured. Throws UserError. */
export function withMixtures<M extends Named>(
  all: readonly M[],
  { mix: kind, mix_weight: weight, mix_sharpness: sharpness }: EvaluateOptions,
): (M & { readonly mixed?: MixedWith })[] {
  const other = all.find(({ role }) => role === "with");
  if (!other) return [...all];
  const mixed = { checkpoint: other.checkpoint, reader: other.reader, kind, weight, sharpness };
  return all.flatMap((model) => {
    if (model.role === "with") return [];
    if (model.role !== "model") return [model];
    checkMixed(model.reader, other.reader, { model: model.checkpoint.files, other: other.checkpoint.files });
    return [{ ...model, mixed }];
  });
}

/** The models with the one that is mixed in, for the plan. */
export function withOther(opened: readonly (Planned & { readonly mixed?: MixedWith })[]): Planned[] {
  const other = opened.find(({ mixed }) => mixed)?.mixed?.checkpoint;
  return other ? [...opened, { role: "with", ref: other.ref, checkpoint: other }] : [...opened];
}

/** What results call the models: each with what is mixed in. */
export const measuredNames = (refs: readonly string[], { with: other }: EvaluateOptions): string[] =>
  refs.map((ref) => (other === undefined ? ref : `${ref} with ${other}`));
