/**
 * A file of the reference's likelihoods, so that many runs over the same rows ask the model once: `nll` (tokens that
 * count of all answers, in the order of the rows) and `key`, a digest of the rows and of the model's header.
 */
import { existsSync } from "node:fs";
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { UserError } from "../../errors.ts";
import type { Item } from "./rows.ts";

/** A digest of the tokens of all items, which of them count, and what the model's headers are. */
export function cacheKey(items: readonly Item[], inputs: readonly string[]): Uint8Array {
  const hash = new Bun.CryptoHasher("sha256");
  hash.update(JSON.stringify(inputs));
  for (const item of items)
    for (const { ids, labels } of [item.first, item.second])
      for (const values of [Int32Array.of(ids.length), ids, labels])
        hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return new Uint8Array(hash.digest());
}

/**
 * The likelihoods that a file holds; undefined where there is no file. Throws UserError for one of another model or
 * rows.
 */
export async function readReference(file: string, key: Uint8Array): Promise<Float32Array | undefined> {
  if (!existsSync(file)) return undefined;
  const checkpoint = await openPlain(file);
  try {
    const [nll, known] = ["nll", "key"].map((name) => checkpoint.tensors.get(name));
    if (nll?.dtype !== "F32" || known?.dtype !== "U8" || known.bytes !== key.length)
      throw new UserError(
        `--reference-cache ${file} holds no likelihoods of a reference: it lacks nll (F32) or key (U8)`,
        "name another file, which is then written",
      );
    const [values, made] = [new Uint8Array(nll.bytes), new Uint8Array(key.length)];
    await nll.read(values, 0);
    await known.read(made, 0);
    if (made.some((byte, i) => byte !== key[i]))
      throw new UserError(
        `--reference-cache ${file} was made with another model or other rows`,
        "remove it, or name another file, which is then written",
      );
    return new Float32Array(values.buffer);
  } finally {
    checkpoint.close();
  }
}

/** Writes the file. Throws as `createWriter` does. */
export async function writeReference(file: string, key: Uint8Array, values: Float32Array): Promise<void> {
  const tensors = [
    { name: "key", dtype: "U8" as const, shape: [key.length], bytes: key.length },
    { name: "nll", dtype: "F32" as const, shape: [values.length], bytes: values.byteLength },
  ];
  const writer = await createWriter(file, { tensors, files: new Map(), lineage: [] });
  try {
    await writer.write("key", key);
    await writer.write("nll", new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
