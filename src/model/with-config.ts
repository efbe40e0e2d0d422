/** A checkpoint as a model of another config: with a head of another kind, or parts that it had not. */
import { heldEntry } from "../checkpoint/adapter/entries.ts";
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { encodeFloats } from "../checkpoint/decode.ts";
import { UserError } from "../errors.ts";
import { showShape, sizeOf } from "../tensor/tensor.ts";
import type { Json } from "./architecture.ts";
import { configOf, describeConfig } from "./description.ts";
import { drawn } from "./fresh.ts";

/**
 * The checkpoint with `json` as its config.json. Tensors that this asks for and that are not there are drawn by (seed,
 * name) in f32; those of the old config alone are left out. Throws UserError for one that changes its shape.
 */
export async function withConfig(checkpoint: Checkpoint, json: Json, seed: number): Promise<Checkpoint> {
  const { ref, tensors, files } = checkpoint;
  const before = await describeConfig(configOf(checkpoint), ref, undefined, checkpoint);
  const text = new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`);
  const changed = { ...checkpoint, files: new Map([...files, ["config.json", text]]) };
  const after = await describeConfig(json, ref, undefined, changed);
  const specs = after.architecture.parameters(after.config);
  const asked = new Set(specs.map(({ name }) => name));
  const dropped = before.architecture.parameters(before.config).filter(({ name }) => !asked.has(name));
  const kept = new Map(tensors);
  for (const { name } of dropped) kept.delete(name);
  for (const spec of specs) {
    const { name, shape } = spec;
    const there = kept.get(name);
    if (there && there.shape.join() !== shape.join())
      throw new UserError(
        `${ref}: ${name} is ${showShape(there.shape)}, and is to be ${showShape(shape)}`,
        "leave out the options that change its size",
      );
    if (there || spec.parts) continue;
    const count = sizeOf(shape);
    const info: TensorEntry = { name, dtype: "F32", shape, bytes: 4 * count, read: async () => {} };
    kept.set(name, heldEntry(info, encodeFloats(drawn(spec, name, count, seed), "F32")));
  }
  return { ...changed, tensors: kept };
}
