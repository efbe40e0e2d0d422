/** Weights of a checkpoint as values on the host. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { UserError } from "../../errors.ts";
import { constant, type Value } from "../../tensor/twice/value.ts";
import type { Network } from "./network.ts";

/** All weights of a network. Throws UserError for one that is missing, or that an adapter changes. */
export async function storedWeights(
  { specs, ref }: Network,
  tensors: ReadonlyMap<string, TensorEntry>,
): Promise<Map<string, Value>> {
  const found = new Map<string, Value>();
  for (const { name, shape } of specs) {
    const entry = tensors.get(name);
    if (!entry || entry.shape.join() !== shape.join())
      throw new UserError(
        `${ref}: ${name} is ${entry ? `(${entry.shape.join(", ")})` : "missing"}, and (${shape.join(", ")}) by its config.json`,
        "bun run inspect shows what the file holds",
      );
    if (entry.patch)
      throw new UserError(`${ref} has an adapter`, "merge it first: bun run merge model+adapter --method passthrough");
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(name, constant(Float64Array.from(decodeFloats(bytes, entry.dtype)), shape));
  }
  return found;
}
