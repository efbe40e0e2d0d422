/**
 * Number formats: their values, their noise on normal values beside what integrals give, rounding to even, rounding
 * that is right on average, and that nothing changes when it is rounded again.
 */
import { describe, expect, test } from "bun:test";
import { formatError, snrOf } from "../../../src/checkpoint/numbers/format-error.ts";
import { LevelTable } from "../../../src/checkpoint/numbers/level-table.ts";
import {
  bitsPerValue,
  type NumberFormat,
  type ScaledFormat,
  schemeOf,
} from "../../../src/checkpoint/numbers/number-format.ts";
import { quantizeRows, roundRows } from "../../../src/checkpoint/numbers/quantize-rows.ts";
import { matrixValues } from "../../../src/checkpoint/quantized/matrix.ts";
import { writeLayout } from "../../../src/checkpoint/quantized/write/layouts.ts";
import { keyedNormals, keyedUnits } from "../../../src/keyed-random.ts";
import { loadMethod, loadMethods } from "../../../src/method/registry.ts";

const all: readonly NumberFormat[] = await loadMethods("number-format");
const scaled = all.filter((format): format is ScaledFormat => format.kind === "scaled");
const named = async (name: string): Promise<ScaledFormat> => {
  const format = await loadMethod("number-format", name);
  if (format.kind !== "scaled") throw new Error(`${name} has no scale`);
  return format;
};

/** Positive values of a float by its bits, without those that stand for no number. */
function floats(exponent: number, mantissa: number, bias: number, dropped = 0): number[] {
  const values: number[] = [];
  for (let e = 0; e < 2 ** exponent; e++)
    for (let m = 0; m < 2 ** mantissa; m++)
      values.push(e === 0 ? (m / 2 ** mantissa) * 2 ** (1 - bias) : (1 + m / 2 ** mantissa) * 2 ** (e - bias));
  return values.slice(0, values.length - dropped);
}

const phi = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
/** Share of normal values below x. */
function share(x: number): number {
  let [term, sum] = [x, x];
  for (let k = 1; k < 200; k++) {
    term *= (x * x) / (2 * k + 1);
    sum += term;
  }
  return 0.5 + phi(x) * sum;
}
function quantile(p: number): number {
  let [low, high] = [-6, 6];
  for (let k = 0; k < 80; k++) {
    const middle = (low + high) / 2;
    if (share(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}

/** NF4 of its paper: quantiles on both sides of 0, the last of which are 1. */
function nf4(): number[] {
  const side = (count: number) =>
    Array.from({ length: count - 1 }, (_, k) => quantile(0.9677083 - (k * (0.9677083 - 0.5)) / (count - 1)));
  const [up, down] = [side(9), side(8)];
  return [...down.map((x) => -x / down[0]!), 0, ...up.map((x) => x / up[0]!)].sort((a, b) => a - b);
}

const integers = (most: number) => Array.from({ length: most + 1 }, (_, k) => k);
const E4M3 = floats(4, 3, 7, 1);
const E5M2 = floats(5, 2, 15, 4);
const E2M1 = floats(2, 1, 1);
/** Values of each format: those that are not negative, or all. */
const VALUES: Record<string, number[]> = {
  int8: integers(127),
  int4: integers(7),
  "fp8-e4m3": E4M3,
  "fp8-e5m2": E5M2,
  "fp6-e3m2": floats(3, 2, 3),
  "fp6-e2m3": floats(2, 3, 1),
  "fp4-e2m1": E2M1,
  nf4: nf4(),
  mxfp8: E4M3,
  "mxfp8-e5m2": E5M2,
  mxfp6: floats(2, 3, 1),
  "mxfp6-e3m2": floats(3, 2, 3),
  mxfp4: E2M1,
  nvfp4: E2M1,
};
const signed = (values: readonly number[]) =>
  values.some((value) => value < 0)
    ? values
    : [...new Set([...values.map((value) => 0 - value), ...values])].sort((a, b) => a - b);

describe("values", () => {
  test("every format has those of its description", () => {
    expect(Object.keys(VALUES).sort()).toEqual(scaled.map(({ name }) => name).sort());
    for (const { name, bits, levels, grid } of scaled) {
      const middle = 2 ** (bits - 1);
      const own = levels
        ? [...levels].filter(Number.isFinite)
        : integers(2 ** bits - 1)
            .slice(1)
            .map((q) => q - middle);
      const sorted = [...new Set(own.map((value) => value + 0))].sort((a, b) => a - b);
      const expected = signed(VALUES[name]!);
      expect([name, sorted.length]).toEqual([name, expected.length]);
      for (const [k, value] of sorted.entries())
        expect(Math.abs(value - expected[k]!)).toBeLessThan(grid === "nf4" ? 1e-4 : 1e-9);
    }
  });

  test("their ends are those of the tables", () => {
    const ends = (values: readonly number[]) => [values.at(-1), values.find((value) => value > 0)];
    expect(ends(E4M3)).toEqual([448, 2 ** -9]);
    expect(ends(E5M2)).toEqual([57344, 2 ** -16]);
    expect(ends(VALUES["fp6-e3m2"]!)).toEqual([28, 0.0625]);
    expect(ends(VALUES["fp6-e2m3"]!)).toEqual([7.5, 0.125]);
    expect(E2M1).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6]);
  });

  test("bits per value count the scales", () => {
    const bits = Object.fromEntries(all.map((format) => [format.name, bitsPerValue(format, 128)]));
    expect(bits).toMatchObject({ int8: 8.25, int4: 4.5, nf4: 4.5, mxfp4: 4.25, nvfp4: 4.5, bf16: 16, mxfp8: 8.25 });
  });
});

const nearestOf = (levels: readonly number[], x: number): number => {
  let [low, high] = [0, levels.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (levels[middle]! <= x) low = middle;
    else high = middle;
  }
  return x - levels[low]! < levels[high]! - x ? levels[low]! : levels[high]!;
};

/** Mean squared error on normal values in groups of n: the largest of a group is m, the others are below. */
function theory(levels: readonly number[], n: number, scale: (m: number) => number): number {
  const STEP = 0.01;
  let noise = 0;
  for (let m = 0.5; m < 6; m += 0.05) {
    const inside = 2 * share(m) - 1;
    const density = n * 2 * phi(m) * inside ** (n - 1);
    if (density < 1e-7) continue;
    const s = scale(m);
    const error = (x: number) => (nearestOf(levels, x / s) * s - x) ** 2;
    let others = 0;
    for (let x = STEP / 2; x < m; x += STEP) others += (error(x) + error(-x)) * phi(x) * STEP;
    noise += (0.05 * density * ((error(m) + error(-m)) / 2 + ((n - 1) * others) / inside)) / n;
  }
  return noise;
}

const [ROWS, COLUMNS] = [150, 256];
const normals = keyedNormals(ROWS * COLUMNS, 1, 5, "number formats");

describe("signal over noise on normal values is what integrals give, within 0.5 dB", () => {
  const largest = normals.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  for (const { name, group, rule } of scaled) {
    test(name, async () => {
      const levels = signed(VALUES[name]!);
      const end = levels.at(-1)!;
      const divisor = 2 ** Math.floor(Math.log2(2688 / largest));
      const scales = {
        absmax: (m: number) => m / end,
        power: (m: number) => 2 ** (Math.floor(Math.log2(m)) - Math.floor(Math.log2(end))),
        divided: (m: number) => nearestOf(E4M3, (m / end) * divisor) / divisor,
      };
      const n = typeof group === "number" ? group : COLUMNS;
      const expected = -10 * Math.log10(theory(levels, n, scales[rule]));
      const found = snrOf(formatError(normals, ROWS, COLUMNS, await named(name)));
      expect([name, Math.abs(found - expected) < 0.5, found, expected]).toEqual([name, true, found, expected]);
    });
  }

  test("int8 gives about 40 dB where the largest is four standard deviations", async () => {
    const rows = Float32Array.from(normals, (x, k) => (k % COLUMNS === 0 ? 4 : Math.max(-4, Math.min(4, x))));
    const found = snrOf(formatError(rows, ROWS, COLUMNS, await named("int8")));
    expect(Math.abs(found - 10 * Math.log10((12 * 127 ** 2) / 16))).toBeLessThan(0.5);
  });

  test("16 bits: about 6 dB a digit", async () => {
    const of = async (name: string) =>
      snrOf(formatError(normals, ROWS, COLUMNS, await loadMethod("number-format", name)));
    // Steps are 2^-m of the power of two that is not above a value; the error is uniform within half of one.
    let squares = 0;
    for (let x = 1e-4; x < 7; x += 1e-4) squares += 2 * phi(x) * 1e-4 * 4 ** Math.floor(Math.log2(x));
    const uniform = (m: number) => 10 * Math.log10((12 * 4 ** m) / squares);
    expect(Math.abs((await of("bf16")) - uniform(7))).toBeLessThan(0.5);
    expect(Math.abs((await of("f16")) - uniform(10))).toBeLessThan(0.5);
    expect((await of("f16")) - (await of("bf16"))).toBeCloseTo(18.06, 0);
  });
});

describe("rounding", () => {
  test("ties go to the even code", async () => {
    const ints = roundRows(Float32Array.of(7, 0.5, 1.5, 2.5, -0.5, -2.5, -3.5), 1, 7, await named("int4"));
    expect([...ints]).toEqual([7, 0, 2, 2, 0, -2, -4]);
    const fours = roundRows(
      Float32Array.of(6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -5, -0.25),
      1,
      10,
      await named("fp4-e2m1"),
    );
    expect([...fours]).toEqual([6, 0, 1, 1, 2, 2, 4, 4, -4, 0]);
    expect([
      ...roundRows(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8), 1, 2, await loadMethod("number-format", "bf16")),
    ]).toEqual([...[1, 1 + 2 ** -6]]);
  });

  test("what is rounded stays so, in every format and on odd shapes", () => {
    const spread = (k: number) => [1, 1e-3, 3e4][k % 3]! * (k % 7 === 0 ? 30 : 1);
    for (const format of all) {
      for (const [rows, columns] of [
        [5, 37],
        [3, 130],
        [1, 1],
        [4, 64],
      ] as const) {
        const x = keyedNormals(rows * columns, 1, rows, format.name).map(
          (value, k) => value * spread(Math.floor(k / columns)),
        );
        const once = roundRows(x, rows, columns, format);
        expect([
          format.name,
          Buffer.compare(Buffer.from(roundRows(once, rows, columns, format).buffer), Buffer.from(once.buffer)),
        ]).toEqual([format.name, 0]);
        expect(once.some((value) => value !== 0)).toBeTrue();
      }
    }
  });

  test("groups of zeros are zeros, and what is no number is refused", async () => {
    for (const format of scaled) {
      const matrix = quantizeRows(new Float32Array(70), 2, 35, format);
      expect([format.name, matrixValues(matrix).every((value) => value === 0)]).toEqual([format.name, true]);
    }
    expect(() => quantizeRows(Float32Array.of(0, 1, Number.NaN, 2), 2, 2, scaled[0]!)).toThrow("row 1 holds NaN");
  });

  test("drawn, the mean of a million is the value, within three standard errors", async () => {
    const COUNT = 1_000_000;
    for (const [name, most, x] of [
      ["int4", 7, 2.3],
      ["fp8-e4m3", 448, -21.7],
      ["fp4-e2m1", 6, 4.9],
      ["bf16", 0, 1.003],
      ["f16", 0, 3e-8],
    ] as const) {
      const format = await loadMethod("number-format", name);
      const values = new Float32Array(COUNT).fill(x);
      if (most > 0) for (let k = 0; k < COUNT; k += 32) values[k] = most;
      const draw = keyedUnits(3, name);
      const found = roundRows(values, 1, COUNT, format, { draw });
      const drawn = found.filter((_, k) => values[k] === values[1]);
      let [mean, low, high] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
      for (const value of drawn) {
        mean += value / drawn.length;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      expect([name, low < values[1]! && values[1]! < high]).toEqual([name, true]);
      const p = (values[1]! - low) / (high - low);
      const error = (high - low) * Math.sqrt((p * (1 - p)) / drawn.length);
      expect([name, Math.abs(mean - values[1]!) < 3 * error]).toEqual([name, true]);
    }
  });

  test("a code is drawn from the two about a value, never further", () => {
    const table = new LevelTable({ bits: 4 });
    const codes = Array.from({ length: 11 }, (_, k) => table.either(2.25, k / 10) - 8);
    expect(codes).toEqual([3, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2]);
    expect([table.either(9, 0), table.either(-9, 0.9), table.either(3, 0.999)].map((code) => code - 8)).toEqual([
      7, -7, 3,
    ]);
  });
});

test("values past the last level and those that become zero are counted", async () => {
  const counts = async (name: string, ...values: number[]) => {
    const { overflows, underflows } = formatError(
      Float32Array.from(values),
      1,
      values.length,
      await loadMethod("number-format", name),
    );
    return [overflows, underflows];
  };
  expect(await counts("f16", 70000, 65503, 1e-9, 1e-5)).toEqual([1, 1]);
  expect(await counts("bf16", 70000, 1e-9)).toEqual([0, 0]);
  expect(await counts("mxfp4", 7.5, 6.5, 0.2, 0.3)).toEqual([1, 1]);
  expect(await counts("fp4-e2m1", 7.5, 6.5, 0.2, 0)).toEqual([0, 1]);
});

test("what a format gives is written in the layout of its file", async () => {
  const pairs = [
    ["int8", "int-quantized"],
    ["int4", "pack-quantized"],
    ["int4", "gptq"],
    ["fp8-e4m3", "float-quantized"],
    ["nf4", "bnb-4bit"],
    ["mxfp4", "mxfp4-pack-quantized"],
    ["nvfp4", "nvfp4-pack-quantized"],
  ] as const;
  const values = keyedNormals(9 * 192, 0.02, 1, "layouts");
  for (const [name, layout] of pairs) {
    const format = await named(name);
    const scheme = schemeOf(format, "BF16");
    const writer = writeLayout(layout)!;
    expect([name, writer.fits("a.weight", [9, 192], scheme)]).toEqual([name, undefined]);
    expect(writer.encode("a.weight", quantizeRows(values, 9, 192, format), scheme).length).toBeGreaterThan(1);
  }
});
