import { describe, expect, test } from "bun:test";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import type { AdapterProfile } from "../../../src/tensor/adapter-profile.ts";
import { linear } from "../../../src/tensor/ops/linear.ts";
import { combine, dispatch, groupedLinear } from "../../../src/tensor/ops/moe.ts";
import { chosenExperts, type RoutePlan, route } from "../../../src/tensor/ops/router.ts";
import type { Recorder } from "../../../src/tensor/recorder.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, finiteDifference, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers(
  "moe/chosen",
  "moe/combine",
  "moe/count",
  "moe/gather",
  "moe/place",
  "moe/route",
  "moe/route-gradient",
  "moe/scan",
  "moe/weight-gradient",
);

const gpu = await sharedGpu();

/** Softmax of a row, in f64. */
function softmax(row: Float64Array): Float64Array {
  const most = Math.max(...row);
  const shares = row.map((x) => Math.exp(x - most));
  const sum = shares.reduce((a, b) => a + b);
  return shares.map((x) => x / sum);
}

/** Indices of the k largest, the lowest of equals first. */
const largest = (row: Float64Array, k: number): number[] =>
  Array.from(row, (_, i) => i)
    .sort((a, b) => row[b]! - row[a]! || a - b)
    .slice(0, k);

interface Routing {
  readonly chosen: number[][];
  readonly weights: Float64Array;
}

/** The choice is taken from `fixed` where given, as it is a constant on the way back. */
function routed(logits: Float64Array, e: number, k: number, normalize: boolean, fixed?: number[][]): Routing {
  const n = logits.length / e;
  const weights = new Float64Array(n * k);
  const chosen = Array.from({ length: n }, (_, row) => {
    const own = logits.subarray(row * e, row * e + e);
    const p = softmax(own);
    const best = fixed?.[row] ?? largest(own, k);
    const whole = normalize ? best.reduce((sum, i) => sum + p[i]!, 0) : 1;
    for (const [slot, i] of best.entries()) weights[row * k + slot] = p[i]! / whole;
    return best;
  });
  return { chosen, weights };
}

/** Router logits that never choose expert `never`. */
function logitsOf(seed: number, n: number, e: number, never?: number): Float32Array {
  return normals(seed, n * e, 1.5).map((x, i) => (i % e === never ? x - 30 : x));
}

const CASES = [
  [1, 3, 1],
  [1, 5, 2],
  [7, 4, 2],
  [33, 5, 1],
  [131, 5, 2],
  [150, 3, 3],
] as const; // tokens, experts, chosen

describe.each([true, false])("weights divided by their sum: %p", (normalize) => {
  test.each(CASES)("%d tokens over %d experts, %d each: weights forward and back", async (n, e, k) => {
    const data = logitsOf(1, n, e);
    const { chosen } = routed(Float64Array.from(data), e, k, normalize);
    await checkOp(gpu, `route${normalize ? ", normalised" : ""}`, {
      inputs: { logits: { shape: [n, e], data } },
      build: (rec, { logits }) => route(rec, logits!, { k, normalize }).weights,
      reference: ({ logits }) => routed(logits!, e, k, normalize, chosen).weights,
    });
  });
});

test.each([...CASES, [90, 70, 6], [700, 3, 2]] as const)(
  "%d tokens over %d experts, %d each: the slots are sorted by expert, in order",
  async (n, e, k) => {
    const data = logitsOf(2, n, e, 1);
    for (let i = 0; i < e; i++) data[i] = i < 2 ? 0 : -1; // a tie, and one with the expert that nobody else chooses
    const expected = routed(Float64Array.from(data), e, k, false).chosen.flat();
    const slots = Array.from(expected, (_, slot) => slot).sort((a, b) => expected[a]! - expected[b]! || a - b);
    const offsets = Array.from({ length: e + 1 }, (_, i) => expected.filter((expert) => expert < i).length);
    const { outputs } = await runOp(gpu, {
      inputs: { logits: { shape: [n, e], data } },
      build: (rec, { logits }) => {
        const { plan } = route(rec, logits!, { k, normalize: false });
        const { expertOf, slots, places, offsets } = plan;
        return { expertOf, slots, places, offsets };
      },
    });
    const words = (name: string) => [...new Uint32Array(outputs[name]!.buffer)];
    expect(words("expertOf")).toEqual(expected);
    expect(words("slots")).toEqual(slots);
    expect(words("offsets")).toEqual(offsets);
    const places = words("places");
    expect(slots.map((slot) => places[slot]!)).toEqual(slots.map((_, place) => place));
  },
);

test("logits that are not numbers choose experts that exist, and infinities none twice", async () => {
  const nan = Number.NaN;
  const low = Number.NEGATIVE_INFINITY;
  const { outputs } = await runOp(gpu, {
    inputs: { logits: { shape: [3, 3], data: Float32Array.of(nan, nan, nan, low, 2, low, 1, nan, 0) } },
    build: (rec, { logits }) => {
      const { plan, weights } = route(rec, logits!, { k: 2, normalize: true });
      return { expertOf: plan.expertOf, offsets: plan.offsets, weights };
    },
  });
  const experts = [...new Uint32Array(outputs.expertOf!.buffer)];
  expect(Math.max(...experts)).toBeLessThan(3);
  expect(experts.slice(2, 4)).toEqual([1, 0]);
  expect([...outputs.weights!.slice(2, 4)]).toEqual([1, 0]);
  expect([...new Uint32Array(outputs.offsets!.buffer)].at(-1)).toBe(6);
});

/** An adapter without subgroups. */
const PLAIN: AdapterProfile = { subgroupSize: 0, software: false };

/** The plan of logits that take no gradient. */
const planOf = (rec: Recorder, logits: Tensor, k: number): RoutePlan => route(rec, logits, { k, normalize: true }).plan;

describe.each([...CASES, [65, 4, 2]] as const)("%d tokens over %d experts, %d each", (n, e, k) => {
  const data = logitsOf(3, n, e, e - 1);
  const logits = { shape: [n, e], data, grad: false };
  const { chosen } = routed(Float64Array.from(data), e, k, true);
  const experts = chosen.flat();
  const sorted = Array.from(experts, (_, slot) => slot).sort((a, b) => experts[a]! - experts[b]! || a - b);

  test.each([
    [1, undefined],
    [20, undefined],
    [67, undefined],
    [67, PLAIN],
  ] as const)("rows of %d are sent out and come back", async (c, profile) => {
    await checkOp(gpu, "dispatch", {
      inputs: { logits, x: { shape: [n, c], data: normals(4, n * c) } },
      build: (rec, { logits, x }) => dispatch(rec, x!, planOf(rec, logits!, k)),
      reference: ({ x }) => Float64Array.from(sorted.flatMap((s) => [...x!.slice(Math.floor(s / k) * c).slice(0, c)])),
    });
    await checkOp(gpu, "combine", {
      inputs: {
        logits,
        ys: { shape: [n * k, c], data: normals(5, n * k * c) },
        weights: { shape: [n, k], data: normals(6, n * k) },
        add: { shape: [n, c], data: normals(7, n * c) },
      },
      build: (rec, { logits, ys, weights, add }) => combine(rec, ys!, weights!, planOf(rec, logits!, k), { add: add! }),
      reference: ({ ys, weights, add }) => {
        const y = Float64Array.from(add!);
        for (const [place, s] of sorted.entries())
          for (let j = 0; j < c; j++) y[Math.floor(s / k) * c + j]! += weights![s]! * ys![place * c + j]!;
        return y;
      },
      ...(profile ? { profile } : {}),
    });
  });

  test.each([
    [1, 3, undefined],
    [20, 12, undefined],
    [37, 33, undefined],
    [20, 13, PLAIN],
  ] as const)("a matrix %d to %d of every expert", async (into, out, profile) => {
    await checkOp(gpu, "grouped linear", {
      inputs: {
        logits,
        x: { shape: [n * k, into], data: normals(8, n * k * into) },
        w: { shape: [e, out, into], data: normals(9, e * out * into) },
      },
      build: (rec, { logits, x, w }) => groupedLinear(rec, x!, w!, planOf(rec, logits!, k)),
      reference: ({ x, w }) =>
        Float64Array.from({ length: n * k * out }, (_, at) => {
          const [place, j] = [Math.floor(at / out), at % out];
          const row = (experts[sorted[place]!]! * out + j) * into;
          let sum = 0;
          for (let i = 0; i < into; i++) sum += x![place * into + i]! * w![row + i]!;
          return sum;
        }),
      ...(profile ? { profile } : {}),
    });
  });

  test("the whole mixture, with gradients through the router", async () => {
    const c = 5;
    const gate = normals(12, e * c);
    const x = normals(10, n * c);
    const score = (gate: Float64Array, x: Float64Array) =>
      Float64Array.from({ length: n * e }, (_, at) => {
        let sum = 0;
        for (let i = 0; i < c; i++) sum += gate[(at % e) * c + i]! * x[Math.floor(at / e) * c + i]!;
        return sum;
      });
    const { chosen } = routed(score(Float64Array.from(gate), Float64Array.from(x)), e, k, false);
    await checkOp(gpu, "mixture", {
      inputs: {
        gate: { shape: [e, c], data: gate },
        x: { shape: [n, c], data: x },
        w: { shape: [e, c, c], data: normals(11, e * c * c) },
      },
      build: (rec, { gate, x, w }) => {
        const { weights, plan } = route(rec, linear(rec, x!, gate!), { k, normalize: false });
        return combine(rec, groupedLinear(rec, dispatch(rec, x!, plan), w!, plan), weights, plan);
      },
      reference: ({ gate, x, w }) => {
        const { weights } = routed(score(gate!, x!), e, k, false, chosen);
        const y = new Float64Array(n * c);
        for (const [s, expert] of chosen.flat().entries()) {
          const row = Math.floor(s / k) * c;
          for (let j = 0; j < c; j++)
            for (let i = 0; i < c; i++) y[row + j]! += weights[s]! * w![(expert * c + j) * c + i]! * x![row + i]!;
        }
        return y;
      },
    });
  });
});

test.each([
  [1, 3, 1],
  [33, 5, 2],
  [150, 70, 6],
] as const)("%d tokens, the %d-expert row has the token's weight at its %d likeliest", async (n, e, k) => {
  const data = logitsOf(3, n, e);
  const weights = normals(4, n);
  const { chosen } = routed(Float64Array.from(data), e, k, false);
  const { outputs } = await runOp(gpu, {
    inputs: { logits: { shape: [n, e], data }, weights: { shape: [n, 1], data: weights } },
    build: (rec, { logits, weights }) => chosenExperts(rec, logits!, k, weights!),
  });
  const expected = Array.from({ length: n * e }, (_, i) => {
    const token = Math.floor(i / e);
    return chosen[token]!.includes(i % e) ? weights[token]! : 0;
  });
  expect([...outputs.y!]).toEqual(expected);
});

test("experts of bf16 are read as they are, and their gradient is f32", async () => {
  const [n, e, k, c] = [6, 3, 2, 10];
  const data = logitsOf(12, n, e, 0);
  const packed = encodeFloats(normals(13, e * c * c), "BF16");
  const held = Float64Array.from(decodeFloats(packed, "BF16"));
  const x = normals(14, n * k * c);
  const experts = routed(Float64Array.from(data), e, k, true).chosen.flat().sort();
  const forward = (xs: Float64Array, w: Float64Array) =>
    Float64Array.from({ length: n * k * c }, (_, at) => {
      const [place, j] = [Math.floor(at / c), at % c];
      let sum = 0;
      for (let i = 0; i < c; i++) sum += xs[place * c + i]! * w[(experts[place]! * c + j) * c + i]!;
      return sum;
    });
  const dy = normals(15, n * k * c);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      logits: { shape: [n, e], data },
      x: { shape: [n * k, c], data: x, grad: true },
      w: { shape: [e, c, c], data: new Uint16Array(packed.slice().buffer), dtype: "bf16", grad: true },
    },
    build: (rec, { logits, x, w }) => groupedLinear(rec, x!, w!, planOf(rec, logits!, k)),
    seeds: { y: dy },
  });
  const exactX = Float64Array.from(x);
  const near = (found: Float32Array, expected: Float64Array) => {
    for (const [i, value] of expected.entries()) expect(Math.abs(found[i]! - value)).toBeLessThan(2e-5);
  };
  near(outputs.y!, forward(exactX, held));
  near(
    gradients.x!,
    finiteDifference((at) => forward(at, held), exactX, dy),
  );
  near(
    gradients.w!,
    finiteDifference((at) => forward(exactX, at), held, dy),
  );
  expect(gradients.w!.slice(0, c * c).every((value) => value === 0)).toBe(true); // nobody chose expert 0
});

test("sizes that do not fit are refused", async () => {
  const build = (shape: number[], k: number) =>
    runOp(gpu, {
      inputs: { logits: { shape, data: new Float32Array(6) } },
      build: (rec, { logits }) => route(rec, logits!, { k, normalize: true }).weights,
    });
  await expect(build([2, 3], 4)).rejects.toThrow("4 experts per token out of 3");
  await expect(build([6], 1)).rejects.toThrow("is not (N, experts)");
});
