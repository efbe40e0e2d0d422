/** A smaller model that was cut out of a checkpoint, as a checkpoint. Nothing is read before it is written. */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { showShape } from "../../tensor/tensor.ts";
import { describeConfig } from "../description.ts";
import type { NamedModel } from "../names.ts";
import { gathered } from "./gather.ts";
import type { Slice } from "./slice.ts";

/**
 * Throws UserError where the architecture reads the smaller config otherwise than its tensors are, since it cannot hold
 * such a shape.
 */
export async function slicedCheckpoint(model: NamedModel, { tensors, config }: Slice): Promise<Checkpoint> {
  const entries = new Map<string, TensorEntry>();
  for (const { name, from, shape, picked } of tensors) {
    const entry = model.tensors.get(from);
    if (!entry) throw new RangeError(`${model.ref} has no ${from}`);
    const isWhole = !picked.rows && !picked.columns;
    const own = isWhole ? entry : gathered(entry, shape, () => picked, model.ref);
    entries.set(name, { ...own, name });
  }
  const text = new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`);
  const files = new Map([...model.checkpoint.files, ["config.json", text]]);
  const made: Checkpoint = { ...model.checkpoint, tensors: entries, files };
  await expectHeld(config, model.ref, entries);
  return made;
}

/** Throws UserError where the config's architecture has a tensor in another shape. */
export async function expectHeld(
  config: Readonly<Record<string, unknown>>,
  ref: string,
  tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): Promise<void> {
  const { architecture, config: read } = await describeConfig(config, `what is left of ${ref}`);
  for (const { name, shape } of architecture.parameters(read)) {
    const own = tensors.get(name);
    if (own && own.shape.join() !== shape.join())
      throw new UserError(
        `${architecture.name} cannot hold what is left of ${ref}: ${name} would be ${showShape(own.shape)}, and its config makes it ${showShape(shape)}`,
        "its head size follows from the width: keep all heads, and cut hidden units or blocks",
      );
  }
}
