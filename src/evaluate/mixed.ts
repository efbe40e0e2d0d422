/** `evaluate --with`: every model is measured as a mixture with another. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { open } from "../checkpoint/open.ts";
import { UserError } from "../errors.ts";
import type { CombinedWith } from "../run/measuring/loaded-model.ts";
import { checkMixed, type MixedWith } from "../run/measuring/mixed-model.ts";
import { readGate, type StoredGate } from "../run/mixing/gate-file.ts";
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

/** Reads the gate of a mixture. Throws UserError. */
async function gateOf(ref: string): Promise<StoredGate> {
  const checkpoint = await open(ref);
  try {
    return await readGate(checkpoint);
  } finally {
    checkpoint.close();
  }
}

/** The model of `--with` taken out of the list, and given to every model that is measured. Throws UserError. */
export async function withMixtures<M extends Named>(
  all: readonly M[],
  options: EvaluateOptions,
): Promise<(M & { readonly mixed?: MixedWith })[]> {
  const { mix: kind, mix_weight: weight, mix_sharpness: sharpness, mix_with_sharpness: otherSharpness } = options;
  const other = all.find(({ role }) => role === "with");
  if (!other) return [...all];
  const gate = options.mix_gate === undefined ? undefined : await gateOf(options.mix_gate);
  const mixed = { ...other, kind, weight, sharpness, otherSharpness, gate };
  return all.flatMap((model) => {
    if (model.role === "with") return [];
    if (model.role !== "model") return [model];
    if (gate && !model.reader.examples.shape)
      throw new UserError("a gate weighs classifiers of vectors and images", "leave out --mix-gate");
    checkMixed(model.reader, other.reader, { model: model.checkpoint.files, other: other.checkpoint.files });
    return [{ ...model, mixed }];
  });
}

/** The models with those that are mixed in, combined or drafted by, or whose answers are compared, for the plan. */
export function withOther(
  opened: readonly (Planned & {
    readonly mixed?: MixedWith;
    readonly combined?: CombinedWith;
    readonly draft?: Checkpoint;
    readonly encoder?: Checkpoint;
  })[],
): Planned[] {
  const other = opened.find(({ mixed }) => mixed)?.mixed?.checkpoint;
  const draft = opened.find((model) => model.draft)?.draft;
  const encoder = opened.find((model) => model.encoder)?.encoder;
  const plan = (role: string, checkpoint?: Checkpoint) =>
    checkpoint ? [{ role, ref: checkpoint.ref, checkpoint }] : [];
  const combined = opened.find((model) => model.combined)?.combined?.others ?? [];
  return [
    ...opened,
    ...plan("with", other),
    ...combined.flatMap((one) => plan("with", one)),
    ...plan("draft", draft),
    ...plan("encoder", encoder),
  ];
}

/** What results call the models: each with what is mixed in. */
export const measuredNames = (
  refs: readonly string[],
  { with: others = [] }: EvaluateOptions,
  method: string | undefined,
): string[] => {
  const by = `${method === undefined ? "" : ` by ${method}`}${others.length === 0 ? "" : ` with ${others.join(", ")}`}`;
  return refs.map((ref) => `${ref}${by}`);
};
