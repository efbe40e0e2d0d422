/** Rows and columns in another order, in any pieces and types. */
import { describe, expect, test } from "bun:test";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../../../src/checkpoint/dtype.ts";
import { gathered } from "../../../src/model/structure/gather.ts";
import { entryOf } from "../../support/entry.ts";
import { valuesOf } from "./networks.ts";

const values = Float32Array.from({ length: 12 }, (_, i) => i + 1); // (3, 4)
const at = (r: number, c: number) => (r < 0 || c < 0 ? 0 : values[r * 4 + c]!);

describe("gathered", () => {
  const rows = Int32Array.of(2, -1, 0, 0, 1, 2);
  const columns = Int32Array.of(3, 3, -1, 0);
  const cases = [
    { rows, columns, shape: [6, 4] },
    { rows, shape: [6, 4] },
    { columns, shape: [3, 4] },
    { rows: Int32Array.of(1), columns: Int32Array.of(2), shape: [1, 1] },
    { shape: [3, 4] },
  ];
  test.each(cases)("%p", async ({ shape, ...picked }) => {
    const wanted = Array.from({ length: shape[0]! * shape[1]! }, (_, i) => {
      const [r, c] = [Math.floor(i / shape[1]!), i % shape[1]!];
      return at(picked.rows ? picked.rows[r]! : r, picked.columns ? picked.columns[c]! : c);
    });
    for (const dtype of ["F32", "BF16", "F64", "F8_E4M3"] as Dtype[]) {
      const entry = gathered(entryOf("w", dtype, [3, 4], values), shape, () => picked, "m");
      const whole = await valuesOf(entry);
      expect([...decodeFloats(whole, dtype)]).toEqual(wanted);
      const width = DTYPE_BYTES[dtype];
      for (let from = 0; from < wanted.length; from++)
        for (let to = from + 1; to <= wanted.length; to++) {
          const part = new Uint8Array((to - from) * width);
          await entry.read(part, from * width);
          expect(Buffer.compare(part, whole.subarray(from * width, to * width))).toBe(0);
        }
    }
  });

  test("vectors too, and nothing that an adapter changes or that is not there", async () => {
    const vector = gathered(
      entryOf("b", "F32", [3], values.subarray(0, 3)),
      [4],
      () => ({ rows: Int32Array.of(2, 0, -1, 1) }),
      "m",
    );
    expect([...decodeFloats(await valuesOf(vector), "F32")]).toEqual([3, 1, 0, 2]);
    const patch = { a: new Float32Array(4), b: new Float32Array(3), rank: 1, scale: 1, transposed: false };
    expect(() => gathered(entryOf("w", "F32", [3, 4], values, patch), [3, 4], () => ({}), "base+ad")).toThrow(
      "base+ad: an adapter changes w",
    );
    const past = gathered(entryOf("w", "F32", [3, 4], values), [1, 4], () => ({ rows: Int32Array.of(3) }), "m");
    await expect(valuesOf(past)).rejects.toThrow("no row 3");
  });
});
