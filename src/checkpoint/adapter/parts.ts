/** An adapter's tensors, sorted by what they are. */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import { isFloat } from "../dtype.ts";
import type { AdapterConfig } from "./config.ts";
import { heldEntry } from "./entries.ts";
import { classify } from "./keys.ts";
import type { Factors } from "./patch.ts";
import { takeStacks } from "./stacked.ts";

/** Keyed by names in the base model. */
export interface Parts {
  readonly modules: Map<string, Factors>;
  /** Of stacked parameters, by their names. */
  readonly stacks: Map<string, Factors>;
  readonly replaced: Map<string, TensorEntry>;
  readonly tokens: Map<string, { values: Float32Array; shape: readonly number[] }>;
}

/** Sorts the adapter's tensors by what they are, reading the small ones in header order, as a stream wants it. */
export async function readParts(adapter: Checkpoint, config: AdapterConfig): Promise<Parts> {
  const parts: Parts = { modules: new Map(), stacks: new Map(), replaced: new Map(), tokens: new Map() };
  const twice = (what: string) => new UserError(`${adapter.ref} has two tensors for ${show(what)}`);
  for (const entry of adapter.tensors.values()) {
    const part = classify(entry.name, config, adapter.ref);
    if (!isFloat(entry.dtype))
      throw new UserError(`${adapter.ref}: ${show(entry.name)} is ${entry.dtype}, expected floats`);
    if (part.kind === "replace") {
      if (parts.replaced.has(part.tensor)) throw twice(part.tensor);
      const bytes = adapter.kind === "stream" ? new Uint8Array(entry.bytes) : undefined;
      if (bytes !== undefined) await entry.read(bytes, 0);
      parts.replaced.set(part.tensor, bytes === undefined ? entry : heldEntry(entry, bytes));
      continue;
    }
    const tensor = await finiteValues(adapter.ref, entry);
    if (part.kind === "tokens") {
      if (parts.tokens.has(part.module)) throw twice(`the token rows of ${part.module}`);
      parts.tokens.set(part.module, tensor);
      continue;
    }
    const factors: Factors = parts.modules.get(part.module) ?? {};
    if (factors[part.part] !== undefined) throw twice(entry.name);
    factors[part.part] = tensor;
    parts.modules.set(part.module, factors);
  }
  return { ...parts, stacks: takeStacks(parts.modules, config, adapter.ref) };
}

/** Shape and values of a tensor of an adapter. Throws UserError for NaN and infinity. */
export async function finiteValues(
  ref: string,
  entry: TensorEntry,
): Promise<{ readonly values: Float32Array; readonly shape: readonly number[] }> {
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  const values = decodeFloats(bytes, entry.dtype);
  if (!values.every(Number.isFinite)) throw new UserError(`${ref}: ${show(entry.name)} holds NaN or infinity`);
  return { values, shape: entry.shape };
}
