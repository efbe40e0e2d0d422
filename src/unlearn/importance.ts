/**
 * Files of importances of every weight, which `unlearn importance` writes and edits read.
 */

import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { openPlain } from "../checkpoint/open.ts";
import { createWriter } from "../checkpoint/write/write.ts";
import { UserError } from "../errors.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Model } from "../model/model.ts";
import { Importance } from "../run/fisher/importance.ts";
import { readPieces } from "../run/fisher/squared-gradients.ts";
import type { Parameter } from "../tensor/parameter.ts";

/** Writes importances under the names of their weights, with `rows` (2) I32: all, and those of a gradient. */
export async function saveImportance(model: Model, importance: Importance, target: string): Promise<number> {
  const entries = [...importance.of].map(([parameter, { buffer }]) => ({ parameter, buffer }));
  const tensors = [
    ...entries.map(({ parameter: { name, shape, size } }) => ({ name, dtype: "F32" as const, shape, bytes: 4 * size })),
    { name: "rows", dtype: "I32" as const, shape: [2], bytes: 8 },
  ];
  const writer = await createWriter(target, { tensors, files: new Map(), lineage: [] });
  try {
    for (const { parameter, buffer } of entries) {
      for await (const { buffer: bytes } of readPieces(model.gpu, buffer, parameter.size))
        await writer.write(parameter.name, new Uint8Array(bytes));
    }
    await writer.write("rows", new Uint8Array(Int32Array.of(importance.rows, importance.batch).buffer));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return tensors.reduce((sum, { bytes }) => sum + bytes, 0);
}

const MEASURE = "bun run unlearn importance MODEL --retain FILE -o importance.safetensors";

/** Reads what `saveImportance` wrote. Throws UserError when it is something else, or of another model. */
export async function loadImportance(model: Model, file: string): Promise<Importance> {
  const saved: Checkpoint = await openPlain(file);
  try {
    const rows = saved.tensors.get("rows");
    if (rows?.dtype !== "I32" || rows.bytes !== 8)
      throw new UserError(`${file} holds no importances`, `write them with ${MEASURE}`);
    const held = new Map<Parameter, PooledBuffer>();
    for (const parameter of model.trainable()) {
      const entry = saved.tensors.get(parameter.name);
      if (entry?.dtype !== "F32" || entry.shape.join() !== parameter.shape.join())
        throw new UserError(
          `${file} has no importances of ${parameter.name} (${parameter.shape.join(", ")})`,
          `it was measured on another model; write them with ${MEASURE}`,
        );
      const memory = model.gpu.buffer(Math.max(16, entry.bytes), `importance of ${parameter.name}`);
      held.set(parameter, memory);
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      model.gpu.write(memory.buffer, 0, bytes);
    }
    const counts = new Int32Array(2);
    await rows.read(new Uint8Array(counts.buffer), 0);
    return new Importance(held, counts[0]!, counts[1]!);
  } finally {
    saved.close();
  }
}
