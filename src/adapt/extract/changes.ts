/**
 * What a fine-tune changed of its base, tensor by tensor, and as what an adapter of PEFT can hold it: a low-rank change
 * of a linear layer, a convolution or a table, or a tensor that is saved whole.
 */
import { nameInBase } from "../../checkpoint/adapter/changes.ts";
import { findTie } from "../../checkpoint/adapter/tie.ts";
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { isBuffer } from "../../model/names.ts";
import type { Known } from "./names.ts";

/** A weight whose change is to be of low rank. */
export interface Weight {
  readonly module: string;
  readonly kind: "linear" | "embedding";
  /** Stored (in, out): its change is the product turned. */
  readonly turned: boolean;
  readonly inputs: readonly number[];
  readonly into: number;
  readonly out: number;
  readonly tuned: TensorEntry;
  readonly base: TensorEntry;
}

/** A tensor that is held whole, if it changed. */
export interface Whole {
  readonly name: string;
  /** The module to save: undefined for a bias, which stands alone. */
  readonly module: string | undefined;
  readonly tuned: TensorEntry;
  /** Undefined for a tensor that the base lacks, or has in another height. */
  readonly base: TensorEntry | undefined;
}

/** A tensor that no adapter can hold, which matters if it changed. */
export interface Unfit {
  readonly name: string;
  readonly why: string;
  readonly tuned: TensorEntry;
  readonly base: TensorEntry;
}

export interface Changes {
  readonly weights: readonly Weight[];
  readonly whole: readonly Whole[];
  readonly unfit: readonly Unfit[];
  /** Names that were left out by a pattern. */
  readonly leftOut: readonly string[];
}

export interface Choice extends Known {
  readonly embedLora: boolean;
  /** Modules to hold whole, by name or end of a name. */
  readonly saved: readonly string[];
  /** Whether patterns leave a module in. */
  takes(module: string): boolean;
}

const TABLE =
  /(^|\.)(embed_tokens|wte|wpe|word_embeddings|position_embeddings|token_type_embeddings|embed_in|shared)\.weight$/;
const HEAD = /(^|\.)(lm_head|embed_out|score|classifier)\.weight$/;

const text = (shape: readonly number[]): string => `(${shape.join(", ")})`;
const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/**
 * Sorts the tensors of a fine-tune, from names and shapes alone. Throws UserError where they are not those of its base.
 */
export function sortChanges(tuned: Checkpoint, base: Checkpoint, choice: Choice): Changes {
  const found = { weights: [] as Weight[], whole: [] as Whole[], unfit: [] as Unfit[], leftOut: [] as string[] };
  const met = new Set<string>();
  for (const [name, entry] of tuned.tensors) {
    const known = nameInBase(base.tensors, name);
    if (known !== undefined) met.add(known);
    if (isBuffer(name, entry.shape)) continue;
    const module = name.replace(/\.(weight|bias)$/, "");
    if (!choice.takes(module)) {
      found.leftOut.push(name);
      continue;
    }
    const before = known === undefined ? undefined : base.tensors.get(known)!;
    const sorted = sort(choice.nameOf(name), entry, before, { tuned, base, choice });
    if ("inputs" in sorted) found.weights.push(sorted);
    else if ("why" in sorted) found.unfit.push(sorted);
    else found.whole.push(sorted);
  }
  const tie = findTie(base);
  const lost = [...base.tensors].find(
    ([name, { shape }]) => !met.has(name) && !isBuffer(name, shape) && !(tie?.tied && name === tie.head),
  );
  if (lost)
    throw new UserError(
      `${tuned.ref} has no ${show(lost[0])}, which ${base.ref} has; an adapter takes nothing away`,
      "these are different architectures, or the fine-tune lost layers",
    );
  return found;
}

interface Sides {
  readonly tuned: Checkpoint;
  readonly base: Checkpoint;
  readonly choice: Choice;
}

function sort(name: string, tuned: TensorEntry, base: TensorEntry | undefined, sides: Sides): Weight | Whole | Unfit {
  const module = name.replace(/\.(weight|bias)$/, "");
  const { choice } = sides;
  const spec = choice.specOf(name);
  const { shape } = tuned;
  const isTable = spec?.table ?? (TABLE.test(name) && shape.length === 2);
  const isHead = HEAD.test(name);
  const whole = { name, module: name.endsWith(".bias") && isLayersBias(name, sides) ? undefined : module, tuned };
  if (base === undefined) {
    if (module !== name) return { ...whole, module, base };
    throw new UserError(
      `${sides.tuned.ref} has ${show(name)}, which ${sides.base.ref} lacks and PEFT cannot hold`,
      "extract from the fine-tune's own base, or leave it out with --exclude-regex",
    );
  }
  const same = base.shape.join() === shape.join();
  if (!same && !((isTable || isHead) && base.shape.slice(1).join() === shape.slice(1).join()))
    throw new UserError(
      `${show(name)} is ${text(shape)} in ${sides.tuned.ref} but ${text(base.shape)} in ${sides.base.ref}`,
      "these are different architectures: extract from the fine-tune's own base",
    );
  if (!isFloat(tuned.dtype) || !isFloat(base.dtype))
    return { name, why: `it is ${isFloat(tuned.dtype) ? base.dtype : tuned.dtype}, no floats`, tuned, base };
  if (module === name)
    return { name, why: `it is a parameter of its own, ${text(shape)}, and no layer's weight`, tuned, base };
  if (!same) return { ...whole, base: undefined };
  const wanted = choice.saved.some((saved) => module === saved || module.endsWith(`.${saved}`));
  const thin = shape.length < 2 || (shape.length > 2 && shape[1] === 1);
  if (wanted || thin || spec?.whole || spec?.routes === "parameter" || ((isTable || isHead) && !choice.embedLora))
    return { ...whole, base };
  const [first = 0, ...rest] = shape;
  if (isTable)
    return { module, kind: "embedding", turned: true, inputs: [first], into: first, out: rest[0]!, tuned, base };
  const turned = spec?.transposed ?? false;
  const [out, inputs] = turned ? [rest[0]!, [first]] : [first, rest];
  return { module, kind: "linear", turned, inputs, into: product(inputs), out, tuned, base };
}

/** Whether a bias is that of a layer with a matrix, which PEFT's `bias` saves alone; that of a norm goes with it. */
function isLayersBias(name: string, { tuned }: Sides): boolean {
  const own = nameInBase(tuned.tensors, name.replace(/bias$/, "weight"));
  const weight = own === undefined ? undefined : tuned.tensors.get(own);
  return weight !== undefined && weight.shape.length > 1;
}
