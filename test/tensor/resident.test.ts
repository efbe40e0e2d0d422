/** Tensors that stay on the device give the values that their files give, whatever range and type is asked for. */
import { expect, test } from "bun:test";
import type { TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../src/checkpoint/dtype.ts";
import { loadRange, type OperandDtype, paddedBytes } from "../../src/tensor/load.ts";
import { dropResident, keepResident } from "../../src/tensor/resident.ts";
import { entryOf } from "../support/entry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const SIZE = 5003;
const RANGES = [
  [0, SIZE],
  [0, 4],
  [4, 12],
  [1, 4], // begins where no copy can in 16 bits
  [2, 6], // ends inside a vector
  [4096, 256],
  [4000, SIZE - 4000],
] as const;

async function bytesOf(entry: TensorEntry, start: number, length: number, dtype: OperandDtype) {
  const gpu = await sharedGpu();
  using target = gpu.upload(new Uint8Array(256 + paddedBytes(length, dtype)).fill(0x3c), "target");
  await loadRange(gpu, entry, start, length, dtype, target.buffer, 256);
  const vectors = Math.ceil(length / 4) * 4;
  return gpu.read(target.buffer, 256, vectors * DTYPE_BYTES[dtype], (view) => [...view]);
}

test.each(["F64", "F32", "F16", "BF16", "F8_E4M3"] as const satisfies Dtype[])("%s", async (from) => {
  const gpu = await sharedGpu();
  const values = normals(3, SIZE, 2);
  const entry = entryOf("w", from, [SIZE], values);
  let reads = 0;
  const counted: TensorEntry = {
    ...entry,
    read: (into, offset) => {
      reads++;
      return entry.read(into, offset);
    },
  };
  const held = await keepResident(gpu, counted);
  reads = 0;
  for (const to of ["F32", "F16", "BF16"] as const)
    for (const [start, length] of RANGES)
      expect([to, start, length, await bytesOf(counted, start, length, to)]).toEqual([
        to,
        start,
        length,
        await bytesOf(entry, start, length, to),
      ]);
  expect(reads).toBeLessThanOrEqual(6); // what is not aligned comes from the file
  dropResident(gpu, counted, held);
  expect(gpu.residents.has(counted)).toBe(false);
});

test("an adapter's change is applied once", async () => {
  const gpu = await sharedGpu();
  const patch = { a: normals(5, 2 * 6), b: normals(6, 8 * 2), rank: 2, scale: 0.5, transposed: false };
  const entry = { ...entryOf("w", "BF16", [8, 6], normals(7, 48)), patch };
  const plain = await bytesOf(entry, 0, 48, "F32");
  const held = await keepResident(gpu, entry);
  expect(await bytesOf(entry, 0, 48, "F32")).toEqual(plain);
  dropResident(gpu, entry, held);
});
