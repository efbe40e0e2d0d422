/** Pooling against float64 loops. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { averagePool, globalAverage, maxPool } from "../../../src/tensor/ops/pooling.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("pooling/pool", "pooling/pool-gradient");

setDefaultTimeout(120_000);
const gpu = await sharedGpu();

type Pair = readonly [number, number];
interface Case {
  readonly shape: readonly [number, number, number, number];
  readonly kernel: Pair;
  readonly stride: Pair;
  readonly padding: Pair;
}

function reference({ shape: [b, h, w, c], kernel: [kh, kw], stride, padding }: Case, average: boolean) {
  const oh = Math.floor((h + 2 * padding[0] - kh) / stride[0]) + 1;
  const ow = Math.floor((w + 2 * padding[1] - kw) / stride[1]) + 1;
  return (x: Float64Array): Float64Array => {
    const found: number[] = [];
    for (let image = 0; image < b; image++)
      for (let p = 0; p < oh; p++)
        for (let q = 0; q < ow; q++)
          for (let channel = 0; channel < c; channel++) {
            const seen: number[] = [];
            for (let r = 0; r < kh; r++)
              for (let s = 0; s < kw; s++) {
                const [row, column] = [p * stride[0] + r - padding[0], q * stride[1] + s - padding[1]];
                if (row >= 0 && row < h && column >= 0 && column < w)
                  seen.push(x[((image * h + row) * w + column) * c + channel]!);
              }
            found.push(average ? seen.reduce((sum, v) => sum + v, 0) / (kh * kw) : Math.max(...seen));
          }
    return Float64Array.from(found);
  };
}

const CASES: Readonly<Record<string, Case>> = {
  "halves an image": { shape: [2, 4, 6, 3], kernel: [2, 2], stride: [2, 2], padding: [0, 0] },
  "overlapping windows at the edge": { shape: [2, 7, 5, 3], kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
  "uneven windows": { shape: [1, 5, 8, 2], kernel: [4, 1], stride: [1, 3], padding: [2, 0] },
  "a rest that no window reaches": { shape: [3, 5, 5, 1], kernel: [2, 2], stride: [3, 3], padding: [0, 0] },
};

describe.each(Object.entries(CASES))("%s", (name, given) => {
  const { shape, ...windows } = given;
  const inputs = {
    x: {
      shape,
      data: normals(
        7,
        shape.reduce((p, q) => p * q),
      ),
    },
  };
  test.each([false, true])("is float64's, forward and back; mean %p", async (average) => {
    await checkOp(gpu, name, {
      inputs,
      build: (rec, { x }) => (average ? averagePool(rec, x!, windows) : maxPool(rec, x!, windows)),
      reference: ({ x }) => reference(given, average)(x!),
      step: 1e-5,
    });
  });
});

test("of equal values the first takes the gradient", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [1, 2, 2, 1], data: Float32Array.of(1, 5, 5, 5), grad: true } },
    build: (rec, { x }) => maxPool(rec, x!, { kernel: [2, 2] }),
    seeds: { y: Float32Array.of(3) },
  });
  expect([...outputs.y!]).toEqual([5]);
  expect([...gradients.x!]).toEqual([0, 3, 0, 0]);
});

test("the mean over an image is that of every channel", async () => {
  const [b, h, w, c] = [3, 5, 2, 7];
  await checkOp(gpu, "global average", {
    inputs: { x: { shape: [b, h, w, c], data: normals(8, b * h * w * c) } },
    build: (rec, { x }) => globalAverage(rec, x!),
    reference: ({ x }) =>
      Float64Array.from({ length: b * c }, (_, at) => {
        const own = Array.from(
          { length: h * w },
          (_, place) => x![(Math.floor(at / c) * h * w + place) * c + (at % c)]!,
        );
        return own.reduce((sum, v) => sum + v, 0) / (h * w);
      }),
  });
});

test("windows that may lie beyond the edge are refused", () => {
  const inputs = { x: { shape: [1, 4, 4, 1], data: new Float32Array(16) } };
  const build = (padding: Pair) =>
    runOp(gpu, { inputs, build: (rec, { x }) => maxPool(rec, x!, { kernel: [2, 2], padding }) });
  expect(build([2, 0])).rejects.toThrow("windows of 2 x 2 may lie beyond an edge");
});
