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

  test("what is not known is refused", () => {
    expect(() => frequencies({ rope_type: "longrope", factor: 2 })).toThrow(
      'config.json: rope_scaling of type "longrope" is not known',
    );
    expect(() => frequencies({ rope_type: "dynamic" })).toThrow("rope_scaling.factor must be a number above 0");
    expect(() => frequencies({ rope_type: "dynamic", factor: 2, alpha: 1000 })).toThrow("rope_scaling.alpha");
    expect(() => frequencies({ rope_type: "linear", factor: 0 })).toThrow(
      "config.json: rope_scaling.factor must be a number above 0; it is 0",
    );
    expect(() => frequencies({ rope_type: "linear" })).toThrow(
      "config.json: rope_scaling.factor must be a number above 0; it is missing",
    );
  });
});
