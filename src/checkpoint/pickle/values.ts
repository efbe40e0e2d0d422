/** What a pickle of tensors can hold, as plain data: nothing here is ever called. */
import type { Dtype } from "../dtype.ts";

export class PyTuple {
  constructor(readonly items: readonly PyValue[]) {}
}

export class PyList {
  readonly items: PyValue[] = [];
}

const NONE: ReadonlyMap<PyValue, PyValue> = new Map();

/** A dict or OrderedDict, in its order; a key that is set again keeps its place. */
export class PyDict {
  #entries: Map<PyValue, PyValue> | undefined; // most are empty: each tensor has one for its hooks

  set(key: PyValue, value: PyValue): void {
    this.#entries ??= new Map();
    this.#entries.set(key, value);
  }

  get entries(): ReadonlyMap<PyValue, PyValue> {
    return this.#entries ?? NONE;
  }
}

/** A name that stands in the list of what tensor files use. */
export class PyGlobal {
  constructor(readonly name: string) {}
}

/** The bytes behind tensors: an entry `data/KEY` of the archive. `dtype` is undefined for untyped bytes. */
export class PyStorage {
  constructor(
    readonly key: string,
    readonly dtype: Dtype | undefined,
    readonly elements: number,
  ) {}
}

/** A view of a storage. Offsets and strides count elements. */
export class PyTensor {
  constructor(
    readonly storage: PyStorage,
    readonly dtype: Dtype,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

export type PyValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PyTuple
  | PyList
  | PyDict
  | PyGlobal
  | PyStorage
  | PyTensor;
