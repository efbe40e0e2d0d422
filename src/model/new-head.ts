/** A head for a pretrained encoder: its file has none, and what is trained of it begins with one that is drawn. */
import { heldEntry } from "../checkpoint/adapter/entries.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { encodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype, isFloat } from "../checkpoint/dtype.ts";
import { UserError } from "../errors.ts";
import { decodeText, type JsonObject, parseJson } from "../json.ts";
import { sizeOf } from "../tensor/tensor.ts";
import type { Architecture, ParameterSpec } from "./architecture.ts";
import { drawn } from "./fresh.ts";

/** What a head is drawn from. */
export interface HeadDrawing {
  readonly seed: number;
  readonly warn: (message: string) => void;
  /** Whether an adapter is trained, which holds a head but nothing else that is new. */
  readonly adapter: boolean;
}

/**
 * The checkpoint with weights for its head where it has none of them, in the dtype of its matrices, and with the class
 * of a classifier in its config.json; a head of which something is there stays as it is. Masked language models are
 * saved without the pooler, which is drawn too. Throws UserError where an adapter would need such a one.
 */
export function withNewHead(
  checkpoint: Checkpoint,
  { basePrefix = "", className }: Pick<Architecture, "basePrefix" | "className">,
  specs: readonly ParameterSpec[],
  { seed, warn, adapter }: HeadDrawing,
): Checkpoint {
  const { ref, tensors } = checkpoint;
  const head = specs.filter(({ whole }) => whole);
  if (head.length === 0 || head.some(({ name }) => tensors.has(name))) return checkpoint;
  const bare = ![...tensors.keys()].some((name) => name.startsWith(basePrefix));
  const stored = (name: string) => (bare && name.startsWith(basePrefix) ? name.slice(basePrefix.length) : name);
  const poolers = specs
    .filter(({ pooler }) => pooler)
    .map((spec) => ({ ...spec, name: stored(spec.name) }))
    .filter(({ name }) => !tensors.has(name));
  if (adapter && poolers.length > 0)
    throw new UserError(
      `${ref} has no ${poolers[0]!.name}, and an adapter does not hold a new one`,
      "train head and pooler first, --train-only 'classifier*' --train-only '*pooler*' without an adapter",
    );
  const dtype = [...tensors.values()].find(({ shape, dtype }) => shape.length === 2 && isFloat(dtype))?.dtype ?? "F32";
  const names = [...head, ...poolers].filter(({ shape }) => shape.length === 2).map(({ name }) => name);
  warn(
    `${ref} has no ${names[0]}: its head is new, drawn by --seed ${seed}${names
      .slice(1)
      .map((name) => `, and ${name} with it`)
      .join("")}`,
  );
  const entries = [...head, ...poolers].map((spec) => drawnEntry(spec, dtype, seed));
  return {
    ...checkpoint,
    files: className === undefined ? checkpoint.files : withClass(checkpoint, className),
    tensors: new Map([...tensors, ...entries.map((entry) => [entry.name, entry] as const)]),
  };
}

/** The files with a config.json that names the class of the model as it is with its head. */
function withClass({ files, ref }: Checkpoint, className: string): Checkpoint["files"] {
  const what = `config.json of ${ref}`;
  const { value } = parseJson(decodeText(files.get("config.json")!, what), what);
  const config = { ...(value as JsonObject), architectures: [className] };
  return new Map([...files, ["config.json", new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`)]]);
}

function drawnEntry(spec: ParameterSpec, dtype: Dtype, seed: number): TensorEntry {
  const { name, shape } = spec;
  const count = sizeOf(shape);
  const info = { name, dtype, shape, bytes: count * DTYPE_BYTES[dtype], read: async () => {} };
  return heldEntry(info, encodeFloats(drawn(spec, name, count, seed), dtype));
}
