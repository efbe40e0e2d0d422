/**
 * A quantised checkpoint as one of plain tensors: each is decoded while it is read, in the range that is asked for.
 *
 * Which decoder takes a tensor is decided by the names beside it and by config.json; `layouts.ts` lists the decoders.
 * What comes out is F32, because the product of a code and a scale has more digits than bf16 and f16 hold. Companions
 * go with their codes, and the config no longer says that the model is quantised. Memory: a piece of a few MB per read,
 * and strips of matrices that are stored transposed, at most some 10 MB a checkpoint.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Checkpoint, QuantizedPart, TensorEntry } from "../checkpoint.ts";
import { dtypeView } from "../dtype-view.ts";
import { isStream } from "../stream/stream.ts";
import { type Decoded, refusal, type Stored } from "./contract.ts";
import { LAYOUTS } from "./layouts.ts";
import { leftOut, refuseMethod } from "./leftovers.ts";
import { plainFiles, settingsOf } from "./settings.ts";
import { mayBeQuantized } from "./signs.ts";
import { StripCache } from "./strips.ts";

/** Values that are decoded at a time. */
const PIECE = 1 << 18;

export interface DequantizeOptions {
  readonly warn?: ((message: string) => void) | undefined;
  /** Gives a checkpoint that no decoder reads as it is stored, with `undecoded`, instead of refusing it. */
  readonly list?: boolean;
  /** Bytes of codes that are held together of a matrix that is stored transposed; 2 MiB by default. */
  readonly stripBytes?: number;
}

/**
 * The checkpoint with plain tensors; itself when nothing is quantised. Throws UserError that names the layout and the
 * tensor for a layout without a decoder, and for companions that are missing or do not fit. Headers are read, and of
 * data only what states a shape or an order.
 *
 *     const plain = await dequantized(await openPlain("model-gptq/"), { warn: console.warn });
 */
export async function dequantized(checkpoint: Checkpoint, options: DequantizeOptions = {}): Promise<Checkpoint> {
  if (!mayBeQuantized(checkpoint)) return checkpoint;
  const told = new Set<string>();
  const warn = (message: string) => {
    if (!told.has(message)) options.warn?.(message);
    told.add(message);
  };
  const stated = settingsOf(checkpoint);
  const stored: Stored = {
    ...{ ref: checkpoint.ref, tensors: checkpoint.tensors, settings: stated?.settings, method: stated?.method },
    ...{ seekable: !isStream(checkpoint), strips: new StripCache(options.stripBytes), warn },
  };
  try {
    return await plain(checkpoint, stored);
  } catch (error) {
    if (options.list && error instanceof UserError) return { ...checkpoint, undecoded: error.message };
    throw error;
  }
}

async function plain(checkpoint: Checkpoint, stored: Stored): Promise<Checkpoint> {
  refuseMethod(stored);
  const decoded = await decodeAll(stored);
  const dropped = leftOut(stored, decoded);
  if (decoded.length === 0) {
    if (stored.settings === undefined) return checkpoint;
    stored.warn(`${stored.ref}: config.json says that it is quantized, but no tensor is; it is read as it stands`);
    return { ...checkpoint, files: plainFiles(checkpoint, false) };
  }
  if (dropped.length > 0) {
    const some = `${show(dropped[0]!)}${dropped.length > 1 ? ` and ${dropped.length - 1} more` : ""}`;
    stored.warn(`${stored.ref}: ${some} scale activations, not weights, and are left out`);
  }
  const tensors = plainTensors(stored, decoded, new Set(dropped));
  if (isStream(checkpoint)) for (const name of decoded.flatMap(({ consumes }) => consumes)) checkpoint.retain(name);
  const view = { ...checkpoint, tensors, files: plainFiles(checkpoint, true), quantized: partsOf(stored, decoded) };
  if (!isStream(checkpoint)) return view;
  // Codes and companions are retained already: any of them may be read again.
  const retain = (name: string) => (checkpoint.tensors.has(name) ? checkpoint.retain(name) : undefined);
  return Object.assign(view, { retain });
}

async function decodeAll(stored: Stored): Promise<Decoded[]> {
  const all: Decoded[] = [];
  const owner = new Map<string, string>();
  for (const entry of stored.tensors.values()) {
    for (const layout of LAYOUTS) {
      const found = await layout.find(entry, stored);
      if (found === undefined) continue;
      for (const name of found.consumes) {
        if (owner.has(name)) {
          throw refusal(
            stored,
            found.layout,
            `${show(name)} belongs to both ${show(owner.get(name)!)} and ${show(found.name)}`,
          );
        }
        owner.set(name, found.name);
      }
      all.push(found);
      break;
    }
  }
  for (const { name, layout, shape } of all) {
    if (stored.tensors.has(name) && owner.get(name) !== name) {
      throw refusal(stored, layout, `${show(name)} is there both as codes and as a plain tensor`);
    }
    if (!Number.isSafeInteger(shape.reduce((bytes, side) => bytes * side, 4))) {
      throw refusal(stored, layout, `${show(name)} would take more than 2^53 bytes`);
    }
  }
  return all;
}

/** In the order of the stored tensors, each where the first of its parts stood. */
function plainTensors(
  stored: Stored,
  decoded: readonly Decoded[],
  dropped: ReadonlySet<string>,
): Map<string, TensorEntry> {
  const made = new Map(decoded.flatMap((one) => one.consumes.map((name) => [name, one] as const)));
  const tensors = new Map<string, TensorEntry>();
  for (const entry of stored.tensors.values()) {
    const one = made.get(entry.name);
    if (one === undefined && !dropped.has(entry.name)) tensors.set(entry.name, entry);
    if (one !== undefined && !tensors.has(one.name)) tensors.set(one.name, plainEntry(stored, one));
  }
  return tensors;
}

function plainEntry(stored: Stored, { name, shape, decode, matrix }: Decoded): TensorEntry {
  const bytes = shape.reduce((product, side) => product * side, 4);
  /** For ranges that do not begin at a value, or targets that do not. */
  const unaligned = dtypeView("F32", async (first, count) => {
    const values = new Float32Array(count);
    await decode(values, first);
    return values;
  });
  return {
    ...{ name, dtype: "F32", shape, bytes, ...(matrix && { codes: matrix }) },
    async read(into, offset) {
      if (offset < 0 || offset + into.length > bytes) {
        throw new RangeError(`${stored.ref}: ${show(name)} has ${bytes} bytes; asked for ${into.length} at ${offset}`);
      }
      if (offset % 4 !== 0 || into.byteOffset % 4 !== 0 || into.length % 4 !== 0) return unaligned(into, offset);
      const values = new Float32Array(into.buffer, into.byteOffset, into.length / 4);
      for (let at = 0; at < values.length; at += PIECE) {
        await decode(values.subarray(at, Math.min(values.length, at + PIECE)), offset / 4 + at);
      }
    },
  };
}

/** One part per layout, width and grouping. */
function partsOf(stored: Stored, decoded: readonly Decoded[]): QuantizedPart[] {
  const groups = Map.groupBy(decoded, ({ layout, bits, group }) => JSON.stringify([layout, bits, group]));
  return [...groups.values()].map((own) => {
    const { layout, bits, group } = own[0]!;
    const names = own.flatMap(({ consumes }) => consumes);
    const bytes = names.reduce((sum, name) => sum + stored.tensors.get(name)!.bytes, 0);
    return { layout, bits, group, tensors: own.length, bytes };
  });
}
