import { describe, expect, test } from "bun:test";
import { causalConv } from "../../../src/tensor/ops/causal-conv.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { positionsOf } from "./documents.ts";

covers("causal-conv/convolve", "causal-conv/input-gradient", "causal-conv/weight-gradient", "causal-conv/keep-tail");

const gpu = await sharedGpu();

/** x (B * T, C) by w (C, K), a token at a time. */
function reference(
  x: Float64Array,
  w: Float64Array,
  positions: ArrayLike<number>,
  c: number,
  activation = (sum: number) => sum / (1 + Math.exp(-sum)),
): Float64Array {
  const k = w.length / c;
  return x.map((_, at) => {
    const [row, channel] = [Math.floor(at / c), at % c];
    let sum = 0;
    for (let back = 0; back < k && back <= positions[row]!; back++)
      sum += w[channel * k + k - 1 - back]! * x[(row - back) * c + channel]!;
    return activation(sum);
  });
}

describe.each([
  { rows: [[7]], c: 3, k: 4 },
  { rows: [[1]], c: 1, k: 1 },
  { rows: [[5, 3, 1, 2], [11]], c: 67, k: 4 },
  { rows: [[130], [2, 128]], c: 5, k: 3 },
  { rows: [[2, 2, 2]], c: 2, k: 7 },
])("documents $rows, $c channels, $k taps", ({ rows, c, k }) => {
  const positions = positionsOf(rows);
  const n = positions.length;

  test("forward and back, without SiLU", async () => {
    await checkOp(gpu, "causal convolution, no activation", {
      inputs: {
        x: { shape: [n, c], data: normals(1, n * c) },
        w: { shape: [c, k], data: normals(2, c * k) },
        positions: { shape: [n], data: positions, dtype: "i32" },
      },
      build: (rec, { x, w, positions }) =>
        causalConv(rec, x!, w!, { batch: rows.length, positions: positions!, activation: "none" }),
      reference: ({ x, w }) => reference(x!, w!, positions, c, (sum) => sum),
    });
  });

  test("forward and back", async () => {
    await checkOp(gpu, "causal convolution", {
      inputs: {
        x: { shape: [n, c], data: normals(1, n * c) },
        w: { shape: [c, 1, k], data: normals(2, c * k) },
        positions: { shape: [n], data: positions, dtype: "i32" },
      },
      build: (rec, { x, w, positions }) => causalConv(rec, x!, w!, { batch: rows.length, positions: positions! }),
      reference: ({ x, w }) => reference(x!, w!, positions, c),
    });
  });
});

test("a row in pieces, with the last tokens kept, gives what it gives whole", async () => {
  const [t, c, k] = [11, 5, 4];
  const positions = positionsOf([[t], [t]]);
  const x = normals(1, 2 * t * c);
  const w = normals(2, c * k);
  const whole = reference(Float64Array.from(x), Float64Array.from(w), positions, c);
  let tail = new Float32Array(2 * (k - 1) * c).fill(Number.NaN); // what an earlier text left is not seen
  let start = 0;
  // The second row ends one token early in each piece that has more than one: padding at the end.
  for (const length of [1, 2, 1, 5, 2]) {
    const rows = [0, 1].map((row) =>
      Array.from({ length }, (_, i) => (row === 1 && length > 1 && i === length - 1 ? -1 : start + i)),
    );
    const values = rows.flatMap((own, row) =>
      own.flatMap((p, i) =>
        [...x.subarray((row * t + start + i) * c, (row * t + start + i + 1) * c)].map((v) => (p < 0 ? 1e6 : v)),
      ),
    );
    const { outputs } = await runOp(gpu, {
      inputs: {
        x: { shape: [2 * length, c], data: Float32Array.from(values) },
        w: { shape: [c, 1, k], data: w },
        tail: { shape: [2, k - 1, c], data: tail },
        positions: { shape: [2 * length], data: Int32Array.from(rows.flat()), dtype: "i32" },
      },
      build: (rec, { x, w, tail, positions }) => {
        const kept = rec.scratch([2, k - 1, c], "kept");
        rec.step({
          kernel: "recorder/add-into",
          bind: { x: tail!, y: kept },
          params: { n: 2 * (k - 1) * c, accumulate: 0 },
          groups: [1],
        });
        return { y: causalConv(rec, x!, w!, { batch: 2, positions: positions!, tail: kept }), kept };
      },
      training: false,
    });
    tail = Float32Array.from(outputs.kept!);
    const got = outputs.y!;
    for (const [row, own] of rows.entries())
      for (const [i, p] of own.entries())
        for (let channel = 0; channel < c && p >= 0 && row === 0; channel++)
          expect(got[(row * length + i) * c + channel]!).toBeCloseTo(whole[(row * t + p) * c + channel]!, 5);
    const kept = tail.subarray((k - 1) * c).subarray((k - 2) * c);
    const last = start + length - (length > 1 ? 2 : 1);
    expect([...kept]).toEqual([...x.subarray((t + last) * c, (t + last + 1) * c)]);
    start += length;
  }
});
