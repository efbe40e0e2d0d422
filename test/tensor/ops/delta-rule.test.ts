/** The gated delta rule in chunks against float64, token by token as its equations say it. */
import { describe, expect, test } from "bun:test";
import { type DeltaRuleInputs, decayGates, deltaRule } from "../../../src/tensor/ops/delta-rule.ts";
import type { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, type OpCheck, type OpInput, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { positionsOf } from "./documents.ts";

covers(
  "delta-rule/decays",
  "delta-rule/pairs",
  "delta-rule/scan",
  "delta-rule/outputs",
  "delta-rule/scan-gradient",
  "delta-rule/state-gradient",
  "delta-rule/state-shares",
  "delta-rule/key-gradient",
  "delta-rule/ends",
  "delta-rule/decay-gradient",
  "delta-rule/group-sums",
  "delta-rule/gates",
);

const gpu = await sharedGpu();

interface Heads {
  readonly heads: number;
  readonly keyHeads: number;
  readonly dk: number;
  readonly dv: number;
}

/** S <- e^g S; S <- S + k (beta (v - k S)); o = q S, from S = 0 at position 0. */
function reference(
  x: Readonly<Record<string, Float64Array>>,
  positions: ArrayLike<number>,
  sizes: Heads,
): Float64Array {
  const { heads, keyHeads, dk, dv } = sizes;
  const { q, k, v, g, beta } = x as Readonly<Record<"q" | "k" | "v" | "g" | "beta", Float64Array>>;
  const y = new Float64Array(v.length);
  for (let h = 0; h < heads; h++) {
    const share = Math.floor(h / (heads / keyHeads));
    let state = new Float64Array(dk * dv);
    for (let row = 0; row < positions.length; row++) {
      if (positions[row] === 0) state = new Float64Array(dk * dv);
      const [keys, values] = [(row * keyHeads + share) * dk, (row * heads + h) * dv];
      const stays = Math.exp(g[row * heads + h]!);
      for (let c = 0; c < dv; c++) {
        let found = 0;
        for (let i = 0; i < dk; i++) found += k[keys + i]! * stays * state[i * dv + c]!;
        const delta = beta[row * heads + h]! * (v[values + c]! - found);
        for (let i = 0; i < dk; i++) {
          state[i * dv + c] = stays * state[i * dv + c]! + k[keys + i]! * delta;
          y[values + c]! += q[keys + i]! * state[i * dv + c]!;
        }
      }
    }
  }
  return y;
}

/** Keys of length 1, as the rule is meant for; decays from nearly all to nearly nothing. */
function inputsOf(n: number, { heads, keyHeads, dk, dv }: Heads): Record<keyof DeltaRuleInputs, OpInput> {
  const unit = normals(2, n * keyHeads * dk);
  for (let at = 0; at < unit.length; at += dk) {
    const own = unit.subarray(at, at + dk);
    const length = Math.hypot(...own);
    for (const [i, v] of own.entries()) own[i] = v / length;
  }
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  return {
    q: { shape: [n, keyHeads * dk], data: normals(1, n * keyHeads * dk, 1 / Math.sqrt(dk)) },
    k: { shape: [n, keyHeads * dk], data: unit },
    v: { shape: [n, heads * dv], data: normals(3, n * heads * dv) },
    g: { shape: [n, heads], data: normals(4, n * heads).map((x) => -0.05 * Math.exp(2 * x)) },
    beta: { shape: [n, heads], data: normals(5, n * heads).map(sigmoid) },
  };
}

describe.each([
  { rows: [[1]], heads: 1, keyHeads: 1, dk: 1, dv: 1 },
  { rows: [[7]], heads: 2, keyHeads: 1, dk: 3, dv: 5 },
  { rows: [[67]], heads: 2, keyHeads: 1, dk: 12, dv: 20 },
  { rows: [[64], [64]], heads: 3, keyHeads: 3, dk: 8, dv: 8 },
  { rows: [[65]], heads: 2, keyHeads: 2, dk: 9, dv: 67 },
  { rows: [[150], [150]], heads: 4, keyHeads: 2, dk: 17, dv: 6 },
  {
    rows: [
      [3, 1, 80, 5],
      [60, 4, 1, 24],
    ],
    heads: 2,
    keyHeads: 1,
    dk: 70,
    dv: 4,
  },
  { rows: [[64, 64, 63, 2]], heads: 1, keyHeads: 1, dk: 4, dv: 11 },
])("documents $rows, $heads heads over $keyHeads of keys, $dk x $dv", ({ rows, ...sizes }) => {
  const positions = positionsOf(rows);
  const n = positions.length;

  test("forward and back", async () => {
    const op: OpCheck = {
      inputs: { ...inputsOf(n, sizes), positions: { shape: [n], data: positions, dtype: "i32" } },
      build: (rec, { positions, ...x }) =>
        deltaRule(rec, x as unknown as DeltaRuleInputs, { ...sizes, batch: rows.length, positions: positions! }),
      reference: (x) => reference(x, positions, sizes),
      entries: 12,
      backward: 1e-5,
    };
    await checkOp(gpu, "gated delta rule", op);
    await checkOp(gpu, "gated delta rule", { ...op, profile: hardware });
  }, 120_000);
});

/** A copy, to be read and written. */
function copyOf(rec: Recorder, x: Tensor, n: number): Tensor {
  const y = rec.scratch(x.shape, "copy");
  rec.step({
    kernel: "recorder/add-into",
    bind: { x, y },
    params: { n, accumulate: 0 },
    groups: [Math.ceil(n / 4096)],
  });
  return y;
}

test("a row in pieces, with the state kept, gives what it gives whole; padding leaves the state alone", async () => {
  const sizes = { heads: 2, keyHeads: 1, dk: 5, dv: 6 };
  const t = 150;
  const all = inputsOf(t, sizes);
  const exact = Object.fromEntries(Object.entries(all).map(([name, { data }]) => [name, Float64Array.from(data)]));
  const whole = reference(exact, positionsOf([[t]]), sizes);
  const size = sizes.heads * sizes.dk * sizes.dv;
  let state = new Float32Array(size).fill(Number.NaN); // what an earlier text left is not seen
  let start = 0;
  for (const length of [1, 70, 1, 1, 64, 13]) {
    const padded = length + (length % 3);
    const inputs = Object.fromEntries(
      Object.entries(all).map(([name, { shape, data }]) => {
        const width = shape[1]!;
        const values = new Float32Array(padded * width).fill(-3);
        values.set((data as Float32Array).subarray(start * width, (start + length) * width));
        return [name, { shape: [padded, width], data: values }];
      }),
    );
    const positions = Int32Array.from({ length: padded }, (_, i) => (i < length ? start + i : -1));
    const { outputs } = await runOp(gpu, {
      inputs: {
        ...inputs,
        positions: { shape: [padded], data: positions, dtype: "i32" },
        state: { shape: [1, sizes.heads, sizes.dk, sizes.dv], data: state },
      },
      build: (rec, { positions, state, ...x }) => {
        const kept = copyOf(rec, state!, size);
        const y = deltaRule(rec, x as unknown as DeltaRuleInputs, {
          ...sizes,
          batch: 1,
          positions: positions!,
          state: kept,
        });
        return { y, kept };
      },
      training: false,
    });
    state = Float32Array.from(outputs.kept!);
    const width = sizes.heads * sizes.dv;
    for (let i = 0; i < length * width; i++) expect(outputs.y![i]!).toBeCloseTo(whole[start * width + i]!, 5);
    expect(outputs.y!.every(Number.isFinite)).toBeTrue();
    start += length;
  }
  expect(start).toBe(t);
});

test("log decays, forward and back, far out too", async () => {
  const [n, heads] = [37, 5];
  await checkOp(gpu, "decay gates", {
    inputs: {
      x: { shape: [n, heads], data: normals(1, n * heads, 8) },
      rate: { shape: [heads], data: normals(2, heads) },
      bias: { shape: [heads], data: normals(3, heads) },
    },
    build: (rec, { x, rate, bias }) => decayGates(rec, x!, rate!, bias!),
    reference: ({ x, rate, bias }) =>
      x!.map((v, i) => -Math.exp(rate![i % heads]!) * Math.log1p(Math.exp(v + bias![i % heads]!))),
  });
});
