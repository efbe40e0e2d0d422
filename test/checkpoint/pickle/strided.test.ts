import { expect, test } from "bun:test";
import fc from "fast-check";
import { isContiguous, reachOf, stridedRead } from "../../../src/checkpoint/pickle/strided.ts";

/** Reads all bytes of a view, `step` at a time, and notes the largest read of the storage. */
async function readAll(view: Parameters<typeof stridedRead>[0], storage: Uint8Array, step: number) {
  let largest = 0;
  const read = stridedRead(view, async (into, offset) => {
    if (offset + into.length > storage.length) throw new Error("reads beyond the storage");
    largest = Math.max(largest, into.length);
    into.set(storage.subarray(offset, offset + into.length));
  });
  const bytes = view.shape.reduce((a, b) => a * b, view.width);
  const found = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += step) await read(found.subarray(at, Math.min(bytes, at + step)), at);
  return { found, largest };
}

test("a permuted part of a larger tensor comes in the order of its own shape, in reads of any size", async () => {
  const side = fc.integer({ min: 1, max: 5 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ side, step: fc.integer({ min: 1, max: 3 }), extra: fc.nat(2) }), { maxLength: 4 }),
      fc.constantFrom(1, 2, 4, 8),
      fc.integer({ min: 1, max: 40 }),
      fc.infiniteStream(fc.nat(100)),
      async (axes, width, step, keys) => {
        // Every axis of a row-major tensor, its elements `step` apart; then the axes change places.
        let stride = 1;
        const own = axes.toReversed().map(({ side, step, extra }) => {
          const axis = { side, stride: stride * step };
          stride *= side * step + extra;
          return axis;
        });
        const order = own.map((axis) => ({ axis, key: keys.next().value })).sort((a, b) => a.key - b.key);
        const [shape, strides] = [order.map(({ axis }) => axis.side), order.map(({ axis }) => axis.stride)];
        const view = { shape, strides, width };
        const storage = Uint8Array.from({ length: reachOf(view) * width }, (_, i) => (i * 31 + (i >> 8)) & 255);
        const wanted: number[] = [];
        const walk = (axis: number, place: number): void => {
          if (axis === shape.length) wanted.push(...storage.subarray(place * width, place * width + width));
          else for (let i = 0; i < shape[axis]!; i++) walk(axis + 1, place + i * strides[axis]!);
        };
        walk(0, 0);
        expect([...(await readAll(view, storage, step)).found]).toEqual(wanted);
      },
    ),
    { numRuns: 200, seed: 3 },
  );
});

test("a transposed matrix of 12 MB is read in pieces of 4 MB", async () => {
  const [rows, columns] = [1500, 2000];
  const values = Float32Array.from({ length: rows * columns }, (_, i) => i);
  const view = { shape: [columns, rows], strides: [1, columns], width: 4 };
  expect(isContiguous(view)).toBe(false);
  const { found, largest } = await readAll(view, new Uint8Array(values.buffer), 5 << 20);
  expect(largest).toBeLessThanOrEqual(4 << 20);
  const read = new Float32Array(found.buffer);
  for (let c = 0; c < columns; c += 7)
    for (let r = 0; r < rows; r += 11) if (read[c * rows + r] !== r * columns + c) throw new Error(`${c}, ${r}`);
});
