/** Weights in groups of integers: beside float64, of bits that are data, of either type, and as the host has them. */
import { expect, test } from "bun:test";
import { keyedNormals } from "../../../src/keyed-random.ts";
import { groupIntegers, roundInGroups } from "../../../src/tensor/ops/group-integers.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";

covers("number-format/group-integers");

const gpu = await sharedGpu();

/** Values of rows of other sizes and signs, and a row of zeros. */
const spread = (rows: number, columns: number): Float32Array =>
  keyedNormals(rows * columns, 1, 5, "weights").map((x, i) => {
    const row = Math.floor(i / columns) % 4;
    return [x, 1e-3 * x, 40 + x, 0][row]!;
  });

/** In float64. */
function expected(w: Float32Array, columns: number, group: number, bits: number): { values: number[]; step: number[] } {
  const top = 2 ** bits - 1;
  const [values, step]: [number[], number[]] = [[], []];
  for (let start = 0; start < w.length; start += columns)
    for (let first = start; first < start + columns; first += group) {
      const own = [...w.subarray(first, Math.min(first + group, start + columns))];
      const s = (Math.max(0, ...own) - Math.min(0, ...own)) / top || 1;
      const z = Math.round(-Math.min(0, ...own) / s);
      for (const x of own) {
        values.push(s * (Math.min(top, Math.max(0, Math.round(x / s) + z)) - z));
        step.push(s);
      }
    }
  return { values, step };
}

test.each([
  [5, 37, 16, 2],
  [9, 130, 128, 3],
  [3, 7, 128, 4],
  [70, 12, 5, 8],
] as const)("%d rows of %d columns in groups of %d, %d bits", async (rows, columns, group, bits) => {
  const w = spread(rows, columns);
  const dy = keyedNormals(rows * columns, 1, 6, "gradient");
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      w: { shape: [rows, columns], data: w, grad: true },
      top: { shape: [1], data: Float32Array.of(2 ** bits - 1) },
    },
    build: (rec, { w, top }) => groupIntegers(rec, w!, { top: top!, group }),
    seeds: { y: dy },
  });
  const { values, step } = expected(w, columns, group, bits);
  const host = Float32Array.from(w);
  roundInGroups(host, { columns, bits, group });
  for (const found of [outputs.y!, host]) {
    const off = values.map((x, i) => Math.abs(x - found[i]!) / step[i]!);
    // A quotient may fall to the other side of a tie: no more than a few values, and by a step.
    expect(off.filter((x) => x > 1e-4).length).toBeLessThanOrEqual(2);
    expect(Math.max(...off)).toBeLessThan(1.001);
  }
  expect(gradients.w).toEqual(dy);
});

test("weights in bf16 give what the same values in f32 do", async () => {
  const [rows, columns] = [5, 37];
  const bits = new Uint16Array(new Uint32Array(spread(rows, columns).buffer).map((word) => word >>> 16));
  const w = new Float32Array(Uint32Array.from(bits, (half) => half * 65536).buffer);
  const run = async (dtype: "bf16" | "f32") => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        w: { shape: [rows, columns], data: dtype === "bf16" ? bits : w, dtype },
        top: { shape: [1], data: Float32Array.of(7) },
      },
      build: (rec, { w, top }) => groupIntegers(rec, w!, { top: top!, group: 16 }),
    });
    return outputs.y;
  };
  expect(await run("bf16")).toEqual(await run("f32"));
});
