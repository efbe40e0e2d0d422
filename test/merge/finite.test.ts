import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { countNotFinite } from "../../src/merge/finite.ts";

const TYPES: readonly Dtype[] = ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"];
const HOSTILE = [0, -0, 1, -1, 6e4, 3e38, 1e-40, 2 ** -24, Number.NaN, 1 / 0, -1 / 0];

describe("values that are not finite", () => {
  test.each(TYPES)("are counted in %s as one by one, at any place and length", (dtype) => {
    const value = fc.oneof(fc.constantFrom(...HOSTILE), fc.float());
    fc.assert(
      fc.property(fc.array(value, { maxLength: 40 }), fc.nat(20_000), fc.nat(3), (values, before, shift) => {
        const all = new Float32Array(before + values.length);
        all.set(values, before);
        const bytes = encodeFloats(all, dtype);
        const held = new Uint8Array(bytes.length + shift);
        held.set(bytes, shift);
        const read = Array.from(all, (x) => (dtype === "F32" ? x : roundTrip(x, dtype)));
        expect(countNotFinite(held.subarray(shift), dtype)).toEqual({
          nan: read.filter(Number.isNaN).length,
          infinite: read.filter((x) => Math.abs(x) === 1 / 0).length,
        });
      }),
      { numRuns: 60, seed: 7 },
    );
  });

  test("are counted in F64, and are none where there are no floats", () => {
    const doubles = Float64Array.of(1, 1e300, Number.NaN, -1 / 0, 1 / 0, 1.7e308);
    expect(countNotFinite(new Uint8Array(doubles.buffer), "F64")).toEqual({ nan: 1, infinite: 2 });
    const ones = new Uint8Array(64).fill(255);
    for (const dtype of ["I32", "U8", "F8_E8M0"] as const) {
      expect(countNotFinite(ones, dtype)).toEqual({ nan: 0, infinite: 0 });
    }
    expect(countNotFinite(new Uint8Array(0), "F32")).toEqual({ nan: 0, infinite: 0 });
  });
});

/** What a narrow type makes of a value: not finite past its largest number. E4M3 has no infinity. */
function roundTrip(x: number, dtype: Dtype): number {
  const code = encodeFloats(Float32Array.of(x), dtype);
  if (dtype === "F8_E4M3") return (code[0]! & 0x7f) === 0x7f ? Number.NaN : 0;
  const bits = code.length === 1 ? code[0]! << 8 : code[0]! | (code[1]! << 8);
  const [exponent, mantissa] = dtype === "BF16" ? [0x7f80, 0x7f] : [0x7c00, 0x3ff];
  if ((bits & exponent) !== exponent) return 0;
  return (bits & mantissa) === 0 ? 1 / 0 : Number.NaN;
}
