/**
 * Brings the tensors of one name together: which models take part, in which shape, and whether there is anything to
 * merge.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isCode, isFloat } from "../../checkpoint/dtype.ts";
import { UserError } from "../../errors.ts";
import { configValue, isBuffer, isEmbedding, type NamedModel } from "../../model/names.ts";
import type { MergeMethod } from "../contract.ts";
import type { Notes } from "./notes.ts";

/** A tensor of one input; `input` is whatever the caller needs to find the input again. */
export interface Operand<T> {
  readonly input: T;
  readonly model: NamedModel;
  readonly entry: TensorEntry;
}

export interface Aligned<T> {
  readonly kind: "merge" | "copy";
  readonly shape: readonly number[];
  /** At most one of base and models is given when kind is "copy". */
  readonly base?: Operand<T>;
  readonly models: readonly Operand<T>[];
  /** Other inputs that must hold the bytes of the one that is copied. */
  readonly twins?: readonly Operand<T>[];
  /** Some input is larger than `shape`, of which it gives the top-left part. */
  readonly cropped: boolean;
}

const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** `(11008, 4096)` */
export const spellShape = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/**
 * `base` is the origin of the task vectors, if the method has one, and `models` are the others that have this tensor;
 * at least one of them all is given. Throws a UserError when shapes or types cannot go together.
 */
export function align<T>(
  name: string,
  base: Operand<T> | undefined,
  models: readonly Operand<T>[],
  method: Pick<MergeMethod, "name" | "models" | "base" | "heights">,
  wantsBase: boolean,
  notes: Notes,
): Aligned<T> {
  const first = (base ?? models[0])!;
  const copy = (from: Operand<T>): Aligned<T> => ({
    kind: "copy",
    shape: from.entry.shape,
    ...(from === base ? { base, models: [] } : { models: [from] }),
    cropped: false,
  });
  const all = base === undefined ? models : [base, ...models];
  if (all.some(({ entry }) => isCode(entry.dtype))) return { ...copy(first), twins: codeTwins(name, all, notes) };
  if (!isFloat(first.entry.dtype) || isBuffer(name, first.entry.shape)) return copy(first);
  const odd = models.find(({ entry }) => !isFloat(entry.dtype));
  if (odd !== undefined) throw differentTypes(name, first, odd);
  if (wantsBase && base === undefined) {
    notes.add(`the base lacks it, taken from ${first.model.ref} unchanged`, name);
    return copy(first);
  }

  let taken = models;
  let shape = first.entry.shape;
  const differing = all.find(({ entry }) => !same(entry.shape, shape));
  if (differing !== undefined) {
    const tables = isEmbedding(name) && all.every(({ entry }) => entry.shape.length === 2);
    if (method.heights === "common" && tables) {
      shape = [0, 1].map((axis) => Math.min(...all.map(({ entry }) => entry.shape[axis]!)));
      notes.add(`heights differ, cut to the common ${spellShape(shape)}`, name);
    } else if (method.heights === "base" && base !== undefined) {
      taken = models.filter(({ entry, model }) => {
        if (same(entry.shape, shape)) return true;
        const larger = tables && entry.shape.every((n, axis) => n >= shape[axis]!);
        const from = `${spellShape(entry.shape)} to the base's ${spellShape(shape)}`;
        notes.add(
          larger ? `${model.ref} is cut from ${from}` : `${model.ref} is left out, it does not fit: ${from}`,
          name,
        );
        return larger;
      });
    } else throw mismatch(name, first, differing);
  }

  if (taken.length === 0 || (taken.length < method.models[0] && base !== undefined)) {
    if (models.length === taken.length) notes.add("too few models have it, taken from the base unchanged", name);
    return copy(base!);
  }
  if (taken.length < method.models[0]) {
    notes.add(`too few models have it, taken from ${taken[0]!.model.ref} unchanged`, name);
    return copy(taken[0]!);
  }
  const used = base === undefined ? taken : [base, ...taken];
  const cropped = used.some(({ entry }) => !same(entry.shape, shape));
  return { kind: "merge", shape, ...(base !== undefined && { base }), models: taken, cropped };
}

/** The inputs beside the first, where all have one type of codes and one shape. */
function codeTwins<T>(name: string, [first, ...others]: readonly Operand<T>[], notes: Notes): readonly Operand<T>[] {
  const { model, entry } = first!;
  for (const other of others) {
    if (entry.dtype !== other.entry.dtype) throw differentTypes(name, first!, other);
    if (!same(entry.shape, other.entry.shape)) throw mismatch(name, first!, other);
  }
  if (others.length > 0) notes.add(`${entry.dtype} has no arithmetic here, copied from ${model.ref}`, name);
  return others;
}

function differentTypes<T>(name: string, a: Operand<T>, b: Operand<T>): UserError {
  return new UserError(
    `${name} is ${a.entry.dtype} in ${a.model.ref} but ${b.entry.dtype} in ${b.model.ref}`,
    "a quantized model must be dequantized before it can be merged",
  );
}

function mismatch<T>(name: string, a: Operand<T>, b: Operand<T>): UserError {
  const architecture = ({ model }: Operand<T>): unknown => configValue(model.config, "model_type");
  const kinds = [...new Set([architecture(a), architecture(b)])].filter((kind) => typeof kind === "string");
  const hint =
    kinds.length > 1
      ? `these are different architectures (${kinds.join(", ")}); merge needs one`
      : "these are models of different sizes; merge needs models of one size";
  const [here, there] = [a, b].map(({ entry, model }) => `${spellShape(entry.shape)} in ${model.ref}`);
  return new UserError(`${name} is ${here} but ${there}`, hint);
}
