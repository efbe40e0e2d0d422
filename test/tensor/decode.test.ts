import { describe, expect, test } from "bun:test";
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";

/** The value of a bit pattern by the definition of a binary float; the reference for every small type. */
function byDefinition(pattern: number, exponentBits: number, mantissaBits: number, finiteOnly: boolean): number {
  const sign = pattern >>> (exponentBits + mantissaBits) ? -1 : 1;
  const exponent = (pattern >>> mantissaBits) & (2 ** exponentBits - 1);
  const mantissa = pattern & (2 ** mantissaBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  const top = exponent === 2 ** exponentBits - 1;
  if (finiteOnly && top && mantissa === 2 ** mantissaBits - 1) return Number.NaN;
  if (!finiteOnly && top) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  const fraction = mantissa / 2 ** mantissaBits;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - bias) : fraction * 2 ** (1 - bias));
}

const TYPES: { dtype: Dtype; width: 1 | 2; exponent: number; mantissa: number; finiteOnly: boolean; inf: number }[] = [
  { dtype: "F16", width: 2, exponent: 5, mantissa: 10, finiteOnly: false, inf: 0x7c00 },
  { dtype: "BF16", width: 2, exponent: 8, mantissa: 7, finiteOnly: false, inf: 0x7f80 },
  { dtype: "F8_E4M3", width: 1, exponent: 4, mantissa: 3, finiteOnly: true, inf: 0x7f },
  { dtype: "F8_E5M2", width: 1, exponent: 5, mantissa: 2, finiteOnly: false, inf: 0x7c },
];

const patternsOf = (width: 1 | 2): Uint8Array =>
  width === 1
    ? Uint8Array.from({ length: 256 }, (_, i) => i)
    : new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer);

const codesOf = (bytes: Uint8Array, width: 1 | 2): ArrayLike<number> =>
  width === 1 ? bytes : new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);

for (const { dtype, width, exponent, mantissa, finiteOnly, inf } of TYPES) {
  describe(dtype, () => {
    const values = decodeFloats(patternsOf(width), dtype);

    test("every pattern decodes to its value by definition", () => {
      let wrong = 0;
      for (let code = 0; code < values.length; code++) {
        if (!Object.is(values[code], byDefinition(code, exponent, mantissa, finiteOnly))) wrong++;
      }
      expect(wrong).toBe(0);
      expect(values.length).toBe(width === 1 ? 256 : 65536);
    });

    test("every pattern that is a number survives the round trip, every NaN stays one", () => {
      const again = codesOf(encodeFloats(values, dtype), width);
      let wrong = 0;
      for (let code = 0; code < values.length; code++) {
        if (Number.isNaN(values[code]!)) {
          if (!Number.isNaN(byDefinition(again[code]!, exponent, mantissa, finiteOnly))) wrong++;
        } else if (again[code] !== code) wrong++;
      }
      expect(wrong).toBe(0);
    });

    test("rounds to nearest, ties to even, up to the first value past the largest", () => {
      const at = (code: number) =>
        code === inf && finiteOnly ? 480 : code === inf ? 2 ** (2 ** (exponent - 1)) : values[code]!;
      const inputs: number[] = [];
      const expected: number[] = [];
      for (let code = 0; code < inf; code++) {
        const middle = (at(code) + at(code + 1)) / 2; // exact: one mantissa bit more than the type has
        const tiny = (at(code + 1) - at(code)) / 16;
        inputs.push(middle, middle - tiny, middle + tiny, -middle);
        const even = code % 2 === 0 ? code : code + 1;
        expected.push(even, code, code + 1, even + 2 ** (exponent + mantissa));
      }
      const f32 = Float32Array.from(inputs);
      const found = codesOf(encodeFloats(f32, dtype), width);
      const wrong = expected.filter((code, i) => f32[i] === inputs[i] && found[i] !== code);
      expect(wrong).toEqual([]);
      expect(f32.filter((value, i) => value === inputs[i]).length).toBeGreaterThan(inputs.length * 0.98);
    });
  });
}

test("values past the largest become NaN in E4M3 and infinity in the others", () => {
  const big = Float32Array.of(464, 464.01, 1e9, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
  expect([...decodeFloats(encodeFloats(big, "F8_E4M3"), "F8_E4M3")]).toEqual([448, NaN, NaN, NaN, NaN]);
  const huge = Float32Array.of(61439, 61440, -1e9, Number.POSITIVE_INFINITY);
  expect([...decodeFloats(encodeFloats(huge, "F8_E5M2"), "F8_E5M2")]).toEqual([57344, Infinity, -Infinity, Infinity]);
  expect([...decodeFloats(encodeFloats(Float32Array.of(65519, 65520), "F16"), "F16")]).toEqual([65504, Infinity]);
  expect(decodeFloats(encodeFloats(Float32Array.of(3.4028234663852886e38), "BF16"), "BF16")[0]).toBe(Infinity);
});

test("F32 and F64 pass, F64 rounded to the nearest f32", () => {
  const values = Float32Array.of(1.5, -0, 3e-45, Number.NaN);
  expect([...decodeFloats(encodeFloats(values, "F32"), "F32")]).toEqual([...values]);
  expect([...decodeFloats(encodeFloats(values, "F64"), "F64")]).toEqual([...values]);
  expect(decodeFloats(new Uint8Array(Float64Array.of(0.1, 1e300).buffer), "F64")).toEqual(
    Float32Array.of(Math.fround(0.1), Number.POSITIVE_INFINITY),
  );
});

test("bytes at an odd address are read, and what was read does not change with them", () => {
  const store = new Uint8Array(9);
  store.set(new Uint8Array(Float32Array.of(2, -3).buffer), 1);
  const values = decodeFloats(store.subarray(1), "F32");
  store.fill(0);
  expect([...values]).toEqual([2, -3]);
  const half = new Uint8Array([9, 0x80, 0x3f]);
  expect([...decodeFloats(half.subarray(1), "BF16")]).toEqual([1]);
});

test("integers and partial elements are refused", () => {
  expect(() => decodeFloats(new Uint8Array(8), "I64")).toThrow("I64 is not a float type");
  expect(() => encodeFloats(new Float32Array(1), "U8")).toThrow("U8 is not a float type");
  expect(() => decodeFloats(new Uint8Array(3), "F16")).toThrow("3 bytes are not a whole number of F16");
});
