import { describe, expect, test } from "bun:test";
import { rope } from "../../../src/tensor/ops/rope.ts";
import { ropeTables } from "../../../src/tensor/ops/rope-scaling.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("rope/rotate");

const gpu = await sharedGpu();
const plain = { theta: 10_000, maxPositions: 128, where: "config.json" };

test.each([
  [1, 1, 2],
  [3, 3, 8],
  [257, 2, 6],
])("%d tokens, %d heads of %d, forward and back", async (n, heads, headDim) => {
  const tables = ropeTables({ ...plain, headDim });
  const positions = Int32Array.from({ length: n }, (_, i) => (i * 7) % 100);
  const half = headDim / 2;
  await checkOp(gpu, "rotary positions", {
    inputs: {
      x: { shape: [n, heads * headDim], data: normals(1, n * heads * headDim) },
      positions: { shape: [n], data: positions, dtype: "i32" },
    },
    build: (rec, { x, positions }) => rope(rec, x!, positions!, { heads, headDim, tables, length: 100 }),
    reference: ({ x }) => {
      const y = new Float64Array(x!.length);
      for (let token = 0; token < n; token++) {
        for (let head = 0; head < heads; head++) {
          for (let i = 0; i < half; i++) {
            const at = (token * heads + head) * headDim + i;
            const angle = positions[token]! * 10_000 ** (-(2 * i) / headDim);
            y[at] = x![at]! * Math.cos(angle) - x![at + half]! * Math.sin(angle);
            y[at + half] = x![at + half]! * Math.cos(angle) + x![at]! * Math.sin(angle);
          }
        }
      }
      return y;
    },
    // Angles are f32, as the reference implementation has them: 100 * 2^-24.
    forward: 1e-5,
    backward: 1e-5,
  });
});

/** Turns pairs of every head by their angles in float64: `at(i)` gives the places of pair i, `angle` its angle. */
function turned(
  x: Float64Array,
  headDim: number,
  pairs: number,
  { at, angle }: { at: (i: number) => readonly [number, number]; angle: (head: number, i: number) => number },
): Float64Array {
  const y = Float64Array.from(x);
  for (let head = 0; head < x.length / headDim; head++)
    for (let i = 0; i < pairs; i++) {
      const [p, q] = at(i).map((place) => head * headDim + place) as [number, number];
      const [cos, sin] = [Math.cos(angle(head, i)), Math.sin(angle(head, i))];
      y[p] = x[p]! * cos - x[q]! * sin;
      y[q] = x[q]! * cos + x[p]! * sin;
    }
  return y;
}

test.each([
  [3, 2, 7, 4, false],
  [5, 3, 6, 2, true],
  [130, 2, 9, 6, true],
  [4, 1, 6, 6, true],
])(
  "%d tokens, %d heads of %d of which %d values turn, neighbours %p",
  async (n, heads, headDim, rotated, interleaved) => {
    const tables = { ...ropeTables({ ...plain, headDim: rotated }), interleaved };
    const positions = Int32Array.from({ length: n }, (_, i) => (i * 7) % 100);
    await checkOp(gpu, "rotary positions of a part", {
      inputs: {
        x: { shape: [n, heads * headDim], data: normals(2, n * heads * headDim) },
        positions: { shape: [n], data: positions, dtype: "i32" },
      },
      build: (rec, { x, positions }) => rope(rec, x!, positions!, { heads, headDim, tables, length: 100 }),
      reference: ({ x }) =>
        turned(x!, headDim, rotated / 2, {
          at: (i) => (interleaved ? [2 * i, 2 * i + 1] : [i, i + rotated / 2]),
          angle: (head, i) => positions[Math.floor(head / heads)]! * 10_000 ** (-(2 * i) / rotated),
        }),
      forward: 1e-5,
      backward: 1e-5,
    });
  },
);

test("documents beyond the original length turn by factors of their own, others in the same rows do not", async () => {
  const [heads, headDim, t, original] = [2, 6, 9, 4];
  const scaling = { rope_type: "longrope", short_factor: [1, 1.5, 2], long_factor: [3, 5, 7] };
  const tables = ropeTables({
    ...plain,
    headDim,
    maxPositions: 64,
    scaling: { ...scaling, original_max_position_embeddings: original },
  });
  // Documents of 5 and 4 tokens; of 3 and 5 and padding; one of 9.
  const positions = [0, 1, 2, 3, 4, 0, 1, 2, 3].concat([0, 1, 2, 0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  const long = [1, 1, 1, 1, 1, 0, 0, 0, 0].concat([0, 0, 0, 1, 1, 1, 1, 1, 0], Array(9).fill(1));
  const grown = Math.sqrt(1 + Math.log(16) / Math.log(4));
  await checkOp(gpu, "longrope", {
    inputs: {
      x: { shape: [3 * t, heads * headDim], data: normals(3, 3 * t * heads * headDim) },
      positions: { shape: [3 * t], data: Int32Array.from(positions), dtype: "i32" },
    },
    build: (rec, { x, positions }) => rope(rec, x!, positions!, { heads, headDim, tables, length: t, rowLength: t }),
    reference: ({ x }) =>
      turned(x!, headDim, 3, {
        at: (i) => [i, i + 3],
        angle: (head, i) => {
          const token = Math.floor(head / heads);
          const factors = long[token] ? scaling.long_factor : scaling.short_factor;
          return (positions[token]! * 10_000 ** (-(2 * i) / headDim)) / factors[i]!;
        },
      }).map((v) => v * grown),
    forward: 1e-5,
    backward: 1e-5,
  });
});

test("a scale by position multiplies what is turned", async () => {
  const tables = { ...ropeTables({ ...plain, headDim: 4 }), growth: { beta: 0.4, original: 4 } };
  const positions = Int32Array.from({ length: 11 }, (_, i) => i);
  await checkOp(gpu, "rotary positions scaled", {
    inputs: {
      x: { shape: [11, 4], data: normals(4, 44) },
      positions: { shape: [11], data: positions, dtype: "i32" },
    },
    build: (rec, { x, positions }) => rope(rec, x!, positions!, { heads: 1, headDim: 4, tables, length: 16 }),
    reference: ({ x }) =>
      turned(x!, 4, 2, { at: (i) => [i, i + 2], angle: (p, i) => p * 10_000 ** (-i / 2) }).map(
        (v, i) => v * (1 + 0.4 * Math.log(1 + Math.floor(i / 16))),
      ),
    forward: 1e-5,
    backward: 1e-5,
  });
});

describe("scaling", () => {
  const frequencies = (scaling: Record<string, unknown>, maxPositions = 128) =>
    ropeTables({ headDim: 8, theta: 10_000, maxPositions, scaling, where: "config.json" });
  const base = [1, 0.1, 0.01, 0.001];
  const near = (values: number[]) => values.map((x) => expect.closeTo(x, 7));

  test("default and linear", () => {
    expect([...frequencies({ rope_type: "default" }).inverseFrequencies]).toEqual(near(base));
    expect([...frequencies({ type: "linear", factor: 4 }).inverseFrequencies]).toEqual(near(base.map((f) => f / 4)));
  });

  test("llama3 keeps short waves, stretches long ones, and blends between", () => {
    const scaling = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 128,
    };
    const found = frequencies(scaling).inverseFrequencies;
    // Wavelengths 6.3, 62.8, 628, 6283 against 128 / 4 and 128 / 1.
    const smooth = (128 / (2 * Math.PI * 10) - 1) / 3;
    expect([...found]).toEqual(near([1, ((1 - smooth) * 0.1) / 8 + smooth * 0.1, 0.01 / 8, 0.001 / 8]));
  });

  test("yarn at factor 1 is the default, and stretches only long waves otherwise", () => {
    const yarn = (factor: number) => frequencies({ rope_type: "yarn", factor, original_max_position_embeddings: 128 });
    expect([...yarn(1).inverseFrequencies]).toEqual(near(base));
    const { inverseFrequencies, attentionScale } = yarn(4);
    expect(attentionScale).toBeCloseTo(0.1 * Math.log(4) + 1, 12);
    expect(inverseFrequencies[0]).toBeCloseTo(1, 7);
    expect(inverseFrequencies[3]).toBeCloseTo(0.001 / 4, 9);
  });

  test("alpha of dynamic scaling enlarges the base", () => {
    const { inverseFrequencies } = frequencies({ rope_type: "dynamic", factor: 1, alpha: 1000 });
    const theta = 10_000 * 1000 ** (8 / 6);
    expect([...inverseFrequencies]).toEqual([0, 2, 4, 6].map((i) => expect.closeTo(theta ** (-i / 8), 9)));
  });

  test("longrope divides each frequency by a factor of its own, and scales by how far the length has grown", () => {
    const scaling = { rope_type: "longrope", short_factor: [1, 2, 3, 4], long_factor: [5, 6, 7, 8] };
    const found = frequencies({ ...scaling, original_max_position_embeddings: 16 });
    expect([...found.inverseFrequencies]).toEqual(near(base.map((f, i) => f / (i + 1))));
    expect([...found.long!.inverseFrequencies]).toEqual(near(base.map((f, i) => f / (i + 5))));
    expect(found.long!.original).toBe(16);
    expect(found.attentionScale).toBeCloseTo(Math.sqrt(1 + Math.log(8) / Math.log(16)), 12);
    expect(frequencies({ ...scaling, attention_factor: 1.25 }).attentionScale).toBe(1.25);
    expect(() => frequencies({ ...scaling, long_factor: [1, 2, 3] })).toThrow(
      "rope_scaling.long_factor must be 4 numbers above 0, one for each pair that turns; there are 3",
    );
    expect(() => frequencies({ ...scaling, short_factor: [1, 0, 3, 4] })).toThrow("it is [1,0,3,4]");
  });

  test("what is not known is refused", () => {
    expect(() => frequencies({ rope_type: "ntk", factor: 2 })).toThrow(
      'config.json: rope_scaling of type "ntk" is not known',
    );
    expect(() => frequencies({ rope_type: "toString" })).toThrow("is not known");
    expect(() => frequencies({ rope_type: "dynamic" })).toThrow("rope_scaling.factor must be a number above 0");
    expect(() => frequencies({ rope_type: "linear", factor: 0 })).toThrow(
      "config.json: rope_scaling.factor must be a number above 0; it is 0",
    );
    expect(() => frequencies({ rope_type: "linear" })).toThrow(
      "config.json: rope_scaling.factor must be a number above 0; it is missing",
    );
  });
});
