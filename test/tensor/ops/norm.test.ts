import { describe, test } from "bun:test";
import { layerNorm, rmsNorm } from "../../../src/tensor/ops/norm.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp as check, hardware, type OpCheck } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("norm/normalize", "norm/normalize-gradient", "norm/weight-gradient");

const gpu = await sharedGpu();

/** With the kernels of this adapter, and with those of a real GPU. */
async function checkOp(on: typeof gpu, name: string, op: OpCheck): Promise<void> {
  await check(on, name, op);
  await check(on, name, { ...op, profile: hardware });
}
const EPS = 1e-5;
const SHAPES = [
  [1, 5],
  [3, 255],
  [257, 3],
  [130, 257],
  [2, 4],
] as const;

describe.each(SHAPES)("%d x %d", (n, w) => {
  const x = { shape: [n, w], data: normals(1, n * w).map((v) => v + 0.5) };
  const weight = { shape: [w], data: normals(2, w).map((v) => v + 1) };
  const bias = { shape: [w], data: normals(3, w) };

  test("RMSNorm", async () => {
    await checkOp(gpu, "RMSNorm", {
      inputs: { x, weight },
      build: (rec, { x, weight }) => rmsNorm(rec, x!, weight!, { eps: EPS }),
      reference: ({ x, weight }) => reference(x!, weight!, undefined, w),
    });
  });

  test("RMSNorm with a gain of 1 + w", async () => {
    await checkOp(gpu, "RMSNorm with a gain of 1 + w", {
      inputs: { x, weight },
      build: (rec, { x, weight }) => rmsNorm(rec, x!, weight!, { eps: EPS, plusOne: true }),
      reference: ({ x, weight }) => {
        const gain = weight!.map((g) => 1 + g);
        return reference(x!, gain, undefined, w);
      },
    });
  });

  test("LayerNorm without a bias", async () => {
    await checkOp(gpu, "LayerNorm without a bias", {
      inputs: { x, weight },
      build: (rec, { x, weight }) => layerNorm(rec, x!, weight!, undefined, { eps: EPS }),
      reference: ({ x, weight }) => reference(x!, weight!, new Float64Array(w), w),
      backward: 2e-5,
    });
  });

  test("LayerNorm", async () => {
    await checkOp(gpu, "LayerNorm", {
      inputs: { x, weight, bias },
      build: (rec, { x, weight, bias }) => layerNorm(rec, x!, weight!, bias!, { eps: EPS }),
      reference: ({ x, weight, bias }) => reference(x!, weight!, bias!, w),
      backward: 2e-5,
    });
  });
});

test("RMSNorm of groups within a row", async () => {
  await checkOp(gpu, "RMSNorm", {
    inputs: { x: { shape: [5, 24], data: normals(4, 120) }, weight: { shape: [8], data: normals(5, 8) } },
    build: (rec, { x, weight }) => rmsNorm(rec, x!, weight!, { eps: EPS }),
    reference: ({ x, weight }) => reference(x!, weight!, undefined, 8),
  });
});

function reference(x: Float64Array, weight: Float64Array, bias: Float64Array | undefined, w: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += w) {
    const row = x.subarray(start, start + w);
    const mean = bias ? row.reduce((a, b) => a + b, 0) / w : 0;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / w + EPS;
    for (let i = 0; i < w; i++) y[start + i] = ((row[i]! - mean) / Math.sqrt(variance)) * weight[i]! + (bias?.[i] ?? 0);
  }
  return y;
}
