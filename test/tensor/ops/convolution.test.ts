/** Convolutions against float64 loops over images with channels first, as PyTorch has them. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { convolution } from "../../../src/tensor/ops/convolution.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers(
  "convolution/unfold",
  "convolution/fold",
  "convolution/grouped",
  "convolution/grouped-input-gradient",
  "convolution/grouped-weight-gradient",
);

setDefaultTimeout(120_000);
const gpu = await sharedGpu();

type Pair = readonly [number, number];
interface Case {
  readonly b: number;
  readonly c: number;
  readonly size: Pair;
  readonly o: number;
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
  readonly groups: number;
}

/** (B, H, W, O) of x (B, H, W, C); every sum over group, row and column. */
function reference({ b, c, size: [h, w], o, kernel: [kh, kw], stride, padding, groups }: Case) {
  const oh = Math.floor((h + 2 * padding[0] - kh) / stride[0]) + 1;
  const ow = Math.floor((w + 2 * padding[1] - kw) / stride[1]) + 1;
  const share = c / groups;
  return {
    shape: [b, oh, ow, o],
    run(x: Float64Array, weight: Float64Array, bias: Float64Array): Float64Array {
      const y = new Float64Array(b * oh * ow * o);
      for (let image = 0; image < b; image++)
        for (let out = 0; out < o; out++)
          for (let p = 0; p < oh; p++)
            for (let q = 0; q < ow; q++) {
              let sum = bias[out]!;
              for (let k = 0; k < share; k++)
                for (let r = 0; r < kh; r++)
                  for (let s = 0; s < kw; s++) {
                    const [row, column] = [p * stride[0] + r - padding[0], q * stride[1] + s - padding[1]];
                    if (row < 0 || row >= h || column < 0 || column >= w) continue;
                    const channel = Math.floor(out / (o / groups)) * share + k;
                    sum +=
                      weight[((out * share + k) * kh + r) * kw + s]! *
                      x[((image * h + row) * w + column) * c + channel]!;
                  }
              y[((image * oh + p) * ow + q) * o + out] = sum;
            }
      return y;
    },
  };
}

const CASES: Readonly<Record<string, Case>> = {
  "3 x 3, as large as its input": {
    b: 2,
    c: 3,
    size: [5, 7],
    o: 4,
    kernel: [3, 3],
    stride: [1, 1],
    padding: [1, 1],
    groups: 1,
  },
  "uneven windows and strides": {
    b: 3,
    c: 5,
    size: [9, 6],
    o: 3,
    kernel: [2, 5],
    stride: [3, 2],
    padding: [0, 2],
    groups: 1,
  },
  "single places": { b: 2, c: 7, size: [3, 4], o: 5, kernel: [1, 1], stride: [1, 1], padding: [0, 0], groups: 1 },
  "single places with a stride": {
    b: 2,
    c: 3,
    size: [5, 5],
    o: 2,
    kernel: [1, 1],
    stride: [2, 2],
    padding: [0, 0],
    groups: 1,
  },
  "one window": { b: 1, c: 1, size: [3, 2], o: 1, kernel: [3, 2], stride: [1, 1], padding: [0, 0], groups: 1 },
  "strides that leave a rest": {
    b: 2,
    c: 2,
    size: [8, 8],
    o: 3,
    kernel: [3, 3],
    stride: [2, 2],
    padding: [1, 1],
    groups: 1,
  },
  "two groups": { b: 2, c: 6, size: [5, 4], o: 4, kernel: [3, 2], stride: [2, 1], padding: [1, 0], groups: 2 },
  "every channel for itself": {
    b: 2,
    c: 5,
    size: [6, 7],
    o: 5,
    kernel: [3, 3],
    stride: [1, 1],
    padding: [1, 1],
    groups: 5,
  },
  "two outputs of every channel": {
    b: 5,
    c: 3,
    size: [9, 9],
    o: 6,
    kernel: [3, 3],
    stride: [1, 2],
    padding: [0, 1],
    groups: 3,
  },
};

describe.each(Object.entries(CASES))("%s", (name, given) => {
  const { b, c, size, o, kernel, groups, ...windows } = given;
  const wanted = reference(given);
  const inputs = {
    x: { shape: [b, ...size, c], data: normals(1, b * size[0] * size[1] * c) },
    weight: { shape: [o, c / groups, ...kernel], data: normals(2, ((o * c) / groups) * kernel[0] * kernel[1]) },
    bias: { shape: [o], data: normals(3, o) },
  };

  test("is float64's, forward and back", async () => {
    await checkOp(gpu, name, {
      inputs,
      build: (rec, { x, weight, bias }) => convolution(rec, x!, weight!, { ...windows, groups, bias: bias! }),
      reference: ({ x, weight, bias }) => wanted.run(x!, weight!, bias!),
    });
  });

  test("has the shape of PyTorch's", async () => {
    const shapes: (readonly number[])[] = [];
    await runOp(gpu, {
      inputs,
      build(rec, { x, weight }) {
        const y = convolution(rec, x!, weight!, { ...windows, groups });
        shapes.push(y.shape);
        return y;
      },
    });
    expect(shapes).toEqual([wanted.shape]);
  });
});

test("what does not fit is refused", () => {
  const run = (x: readonly number[], weight: readonly number[], groups = 1) =>
    runOp(gpu, {
      inputs: {
        x: { shape: x, data: new Float32Array(x.reduce((p, q) => p * q)) },
        weight: { shape: weight, data: new Float32Array(weight.reduce((p, q) => p * q)) },
      },
      build: (rec, { x, weight }) => convolution(rec, x!, weight!, { groups }),
    });
  expect(run([1, 4, 4, 3], [2, 2, 3, 3])).rejects.toThrow("does not apply to x (1, 4, 4, 3) in 1 groups");
  expect(run([1, 4, 4, 4], [3, 2, 3, 3], 2)).rejects.toThrow("in 2 groups");
  expect(run([1, 2, 4, 1], [1, 1, 3, 3])).rejects.toThrow("x (1, 2, 4, 1) holds no window of 3 x 3");
});
