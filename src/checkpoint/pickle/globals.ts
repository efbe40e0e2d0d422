/**
 * The names that a pickle of tensors may use, and what is made of a call of one. Nothing else is looked up: there is no
 * way from a pickle to code.
 */
import type { Dtype } from "../dtype.ts";
import { PyDict, PyGlobal, PyList, PyStorage, PyTensor, PyTuple, type PyValue } from "./values.ts";

/** Why a pickle is refused; the message has what was found. */
export class Refused extends Error {}

/** Classes of storages and the dtype of their elements; undefined for bytes. */
const STORAGES: Readonly<Record<string, Dtype | undefined>> = {
  "torch.DoubleStorage": "F64",
  "torch.FloatStorage": "F32",
  "torch.HalfStorage": "F16",
  "torch.BFloat16Storage": "BF16",
  "torch.LongStorage": "I64",
  "torch.IntStorage": "I32",
  "torch.ShortStorage": "I16",
  "torch.CharStorage": "I8",
  "torch.ByteStorage": "U8",
  "torch.BoolStorage": "BOOL",
  "torch.UntypedStorage": undefined,
  "torch.storage.UntypedStorage": undefined,
};

const DTYPES: Readonly<Record<string, Dtype>> = {
  "torch.float64": "F64",
  "torch.float32": "F32",
  "torch.float16": "F16",
  "torch.bfloat16": "BF16",
  "torch.float8_e4m3fn": "F8_E4M3",
  "torch.float8_e5m2": "F8_E5M2",
  "torch.int64": "I64",
  "torch.int32": "I32",
  "torch.int16": "I16",
  "torch.int8": "I8",
  "torch.uint8": "U8",
  "torch.bool": "BOOL",
};

type Call = (args: readonly PyValue[]) => PyValue;

/** What is made of a call; the arguments are checked, never run. */
const CALLS: Readonly<Record<string, Call>> = {
  "collections.OrderedDict": orderedDict,
  "torch.Size": ([sizes]) =>
    sizes instanceof PyList ? new PyTuple(sizes.items) : sizes instanceof PyTuple ? sizes : refuse("torch.Size"),
  "torch._utils._rebuild_tensor": ([storage, offset, size, stride]) => tensor(storage, offset, size, stride),
  "torch._utils._rebuild_tensor_v2": ([storage, offset, size, stride]) => tensor(storage, offset, size, stride),
  "torch._utils._rebuild_tensor_v3": ([storage, offset, size, stride, , , dtype]) =>
    tensor(storage, offset, size, stride, dtype),
  "torch._utils._rebuild_parameter": ([data]) => (data instanceof PyTensor ? data : refuse("_rebuild_parameter")),
};

function refuse(name: string): never {
  throw new Refused(`calls ${name} with arguments that no tensor file has`);
}

/** The global of a name. Throws Refused, naming it, when it is not in the list. */
export function globalOf(module: string, name: string): PyGlobal {
  const full = `${module}.${name}`;
  for (const table of [STORAGES, DTYPES, CALLS]) if (Object.hasOwn(table, full)) return new PyGlobal(full);
  throw new Refused(`names ${full}, which no tensor file needs`);
}

/** What a call of a global with a tuple of arguments stands for. */
export function called(target: PyValue, args: PyValue): PyValue {
  if (!(target instanceof PyGlobal) || !Object.hasOwn(CALLS, target.name)) {
    throw new Refused(
      `calls ${target instanceof PyGlobal ? target.name : "a value"}, which is not a function of the list`,
    );
  }
  if (!(args instanceof PyTuple)) throw new Refused(`calls ${target.name} without a tuple of arguments`);
  return CALLS[target.name]!(args.items);
}

function orderedDict(args: readonly PyValue[]): PyDict {
  const dict = new PyDict();
  const pairs =
    args.length === 0 ? [] : args[0] instanceof PyList && args.length === 1 ? args[0].items : refuse("OrderedDict");
  for (const pair of pairs) {
    const both = pair instanceof PyTuple || pair instanceof PyList ? pair.items : [];
    if (both.length !== 2) refuse("OrderedDict");
    dict.set(both[0]!, both[1]!);
  }
  return dict;
}

const isCount = (value: PyValue | undefined): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The whole numbers of a tuple. */
function counts(value: PyValue | undefined): number[] {
  if (!(value instanceof PyTuple) || !value.items.every(isCount)) return refuse("_rebuild_tensor");
  return value.items as number[];
}

function tensor(
  storage: PyValue | undefined,
  offset: PyValue | undefined,
  size: PyValue | undefined,
  stride: PyValue | undefined,
  stated?: PyValue,
): PyTensor {
  if (!(storage instanceof PyStorage) || !isCount(offset)) return refuse("_rebuild_tensor");
  const dtype = stated instanceof PyGlobal ? DTYPES[stated.name] : storage.dtype;
  const [shape, strides] = [counts(size), counts(stride)];
  if (dtype === undefined || shape.length !== strides.length || shape.length > 64) return refuse("_rebuild_tensor");
  return new PyTensor(storage, dtype, offset, shape, strides);
}

/** The storage that a persistent id stands for: ("storage", class, key, location, elements). */
export function storageOf(id: PyValue): PyStorage {
  const [kind, type, key, , elements] = id instanceof PyTuple && id.items.length === 5 ? id.items : [];
  if (kind !== "storage" || !(type instanceof PyGlobal) || !Object.hasOwn(STORAGES, type.name)) {
    throw new Refused("has a persistent id that is not that of a storage");
  }
  if (typeof key !== "string" || !/^[\w-]{1,64}$/.test(key) || !isCount(elements)) {
    throw new Refused("has a storage without a plain key and a count of elements");
  }
  return new PyStorage(key, STORAGES[type.name], elements);
}
