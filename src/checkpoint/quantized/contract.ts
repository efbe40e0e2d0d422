/** What a decoder of a quantised layout is, and what it may ask of the checkpoint that holds the codes. */
import { UserError } from "../../errors.ts";
import { type JsonObject, show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { type Dtype, isFloat } from "../dtype.ts";
import type { StoredMatrix } from "./matrix.ts";
import type { StripCache } from "./strips.ts";

/** A checkpoint as it is stored, before its tensors are decoded. */
export interface Stored {
  readonly ref: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** What the config says of the quantisation; undefined without a config, or one that says nothing. */
  readonly settings: JsonObject | undefined;
  /** `quant_method` in lower case, or what stands for it. */
  readonly method: string | undefined;
  /** Data can be read before the work starts; false for a pipe. */
  readonly seekable: boolean;
  readonly strips: StripCache;
  /** Gets what is odd but harmless, each message once. */
  readonly warn: (message: string) => void;
}

/** What a tensor was before it was decoded. */
export interface Scheme {
  /** Name of the layout, as messages write it. */
  readonly layout: string;
  readonly bits: number;
  /** What shares a scale: "groups of 32", "blocks of 128 x 128", "one scale per row". */
  readonly group: string;
}

/** A tensor that a decoder gives. Its values are f32: the product of a code and a scale fits no narrower type. */
export interface Decoded extends Scheme {
  readonly name: string;
  readonly shape: readonly number[];
  /** Names of the stored tensors that it is made of; the codes come first. */
  readonly consumes: readonly string[];
  /** Fills `into` with the values from `first` on. Extra memory: about the size of `into`, and strips. */
  decode(into: Float32Array<ArrayBufferLike>, first: number): Promise<void>;
  /** The same as codes and scales, where rows have groups of columns: every value is that which `decode` gives. */
  readonly matrix?: StoredMatrix | undefined;
}

export interface Layout {
  readonly name: string;
  /** Values of `quant_method` that may mean it. */
  readonly methods: readonly string[];
  /**
   * What `entry` and its companions decode to; undefined when it holds no codes of this layout. Throws UserError that
   * names the tensor when companions are missing or of another type or shape.
   */
  find(entry: TensorEntry, stored: Stored): Promise<Decoded> | undefined;
}

const DAMAGED = "the file is incomplete or damaged; fetch or write it again";

/** The one message about what cannot be decoded: which checkpoint, which layout, which tensor and why. */
export function refusal(stored: Pick<Stored, "ref">, layout: string, reason: string, hint = DAMAGED): UserError {
  return new UserError(`${stored.ref} is quantized (${layout}): ${reason}`, hint);
}

/** `(32, 64)` */
export const spell = (shape: readonly number[]): string => `(${shape.join(", ")})`;

/** "X is F16 (3, 4)" */
export const described = ({ name, dtype, shape }: TensorEntry): string => `${show(name)} is ${dtype} ${spell(shape)}`;

/** A companion by name. Throws when it is missing, or its dtype is not one of those given ("float" stands for all). */
export function companion(
  stored: Stored,
  layout: string,
  codes: TensorEntry,
  name: string,
  dtypes: readonly (Dtype | "float")[],
): TensorEntry {
  const entry = stored.tensors.get(name);
  if (entry === undefined) {
    throw refusal(stored, layout, `${described(codes)} and has no ${show(name)}, so that its codes mean nothing`);
  }
  if (dtypes.some((dtype) => dtype === entry.dtype || (dtype === "float" && isFloat(entry.dtype)))) return entry;
  throw refusal(stored, layout, `${described(entry)}; expected ${dtypes.join(" or ")}`);
}

/** Throws when a tensor has another shape than the layout asks for. */
export function expectShape(stored: Stored, layout: string, entry: TensorEntry, shape: readonly number[]): void {
  if (entry.shape.length === shape.length && entry.shape.every((side, axis) => side === shape[axis])) return;
  throw refusal(stored, layout, `${described(entry)}; expected ${spell(shape)}`);
}

/** Runs once, however often it is asked; again after a failure. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work().catch((error) => {
      result = undefined;
      throw error;
    });
    return result;
  };
}
