/** Files of f32 tensors, for tests of what is read from such files. */
import { createWriter } from "../../src/checkpoint/write/write.ts";

export type WeightFile = Readonly<Record<string, { readonly shape: readonly number[]; readonly values: Float32Array }>>;

export async function writeWeights(target: string, tensors: WeightFile): Promise<void> {
  const all = Object.entries(tensors).map(([name, { shape, values }]) => ({
    ...{ name, shape, dtype: "F32" as const, bytes: values.byteLength },
    values,
  }));
  const infos = all.map(({ values: _, ...info }) => info);
  const writer = await createWriter(target, { tensors: infos, files: new Map(), lineage: [] });
  for (const { name, values } of all) await writer.write(name, new Uint8Array(values.buffer));
  await writer.finish();
}
