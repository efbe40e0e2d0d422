/** Routers that score experts one by one, choose with a bias, and choose from groups. */
import { describe, expect, test } from "bun:test";
import { type RouteOptions, route } from "../../../src/tensor/ops/router.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();

type Options = Omit<RouteOptions, "bias"> & { readonly bias?: Float32Array };

const softmax = (row: Float64Array): Float64Array => {
  const shares = row.map((x) => Math.exp(x - Math.max(...row)));
  return shares.map((x) => x / shares.reduce((a, b) => a + b));
};

/** Indices of the k largest, the lowest of equals first. */
const largest = (row: ArrayLike<number>, k: number): number[] =>
  Array.from(row, (_, i) => i)
    .sort((a, b) => row[b]! - row[a]! || a - b)
    .slice(0, k);

/** In f64; the choice is taken from `fixed` where given, as it is a constant on the way back. */
function routed(logits: Float64Array, e: number, options: Options, fixed?: number[][]) {
  const { k, normalize, scoring = "softmax", bias, groups, scale = 1 } = options;
  const weights: number[] = [];
  const chosen = Array.from({ length: logits.length / e }, (_, row) => {
    const own = logits.slice(row * e, row * e + e);
    const scores = scoring === "softmax" ? softmax(own) : own.map((x) => 1 / (1 + Math.exp(-x)));
    const merit = Array.from(scores, (score, i) => score + (bias?.[i] ?? 0));
    const { count = 1, kept = 1, worth = "best" } = groups ?? {};
    const size = e / count;
    const worths = Array.from({ length: count }, (_, g) => {
      const best = merit.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
      return best[0]! + (worth === "two" ? (best[1] ?? 0) : 0);
    });
    const open = new Set(largest(worths, kept));
    const best =
      fixed?.[row] ??
      largest(
        merit.map((x, i) => (open.has(Math.floor(i / size)) ? x : Number.NEGATIVE_INFINITY)),
        k,
      );
    const whole = normalize ? best.reduce((sum, i) => sum + scores[i]!, 0) : 1;
    for (const i of best) weights.push((scale * scores[i]!) / whole);
    return best;
  });
  return { chosen, weights: Float64Array.from(weights) };
}

const CASES: [string, number, number, Options][] = [
  ["sigmoid", 33, 5, { k: 2, normalize: false, scoring: "sigmoid" }],
  ["sigmoid, divided by the sum", 70, 7, { k: 3, normalize: true, scoring: "sigmoid", scale: 2.5 }],
  ["one expert, divided by itself", 9, 3, { k: 1, normalize: true, scoring: "sigmoid" }],
  [
    "DeepSeek-V3: bias, groups by their two best",
    131,
    12,
    {
      k: 3,
      normalize: true,
      scoring: "sigmoid",
      scale: 2.5,
      bias: normals(5, 12, 0.3),
      groups: { count: 4, kept: 2, worth: "two" },
    },
  ],
  [
    "groups of one expert",
    20,
    4,
    { k: 2, normalize: true, scoring: "sigmoid", groups: { count: 4, kept: 3, worth: "two" } },
  ],
  [
    "DeepSeek-V2: softmax, groups by their best",
    65,
    10,
    { k: 3, normalize: false, scale: 16, groups: { count: 5, kept: 2, worth: "best" } },
  ],
  ["softmax with a scale, divided by the sum", 17, 6, { k: 4, normalize: true, scale: 1.5 }],
];

describe.each(CASES)("%s", (name, n, e, options) => {
  const data = normals(7, n * e, 1.5);
  const { bias, ...rest } = options;
  const inputs = {
    logits: { shape: [n, e], data },
    ...(bias ? { bias: { shape: [e], data: bias, grad: false } } : {}),
  };
  const { chosen } = routed(Float64Array.from(data), e, options);

  test("weights forward and back", async () => {
    await checkOp(gpu, name, {
      inputs,
      build: (rec, { logits, bias }) => route(rec, logits!, { ...rest, ...(bias ? { bias } : {}) }).weights,
      reference: ({ logits }) => routed(logits!, e, options, chosen).weights,
    });
  });

  test("experts", async () => {
    const { outputs } = await runOp(gpu, {
      inputs,
      build: (rec, { logits, bias }) => ({
        experts: route(rec, logits!, { ...rest, ...(bias ? { bias } : {}) }).plan.expertOf,
      }),
    });
    expect([...new Uint32Array(outputs.experts!.buffer)]).toEqual(chosen.flat());
  });
});

test("a bias decides the choice and leaves the weights", async () => {
  const bias = Float32Array.of(0, 0, 5);
  const { outputs } = await runOp(gpu, {
    inputs: {
      logits: { shape: [1, 3], data: Float32Array.of(2, 1, -1) },
      bias: { shape: [3], data: bias, grad: false },
    },
    build: (rec, { logits, bias }) => {
      const { plan, weights } = route(rec, logits!, { k: 1, normalize: false, scoring: "sigmoid", bias: bias! });
      return { experts: plan.expertOf, weights };
    },
  });
  expect([...new Uint32Array(outputs.experts!.buffer)]).toEqual([2]);
  expect(outputs.weights![0]).toBeCloseTo(1 / (1 + Math.E), 6);
});

test.each([
  [{ k: 3, normalize: true, groups: { count: 4, kept: 1, worth: "best" } }, "3 experts per token out of 2"],
  [{ k: 1, normalize: true, groups: { count: 3, kept: 1, worth: "best" } }, "1 of 3 groups of 8 experts"],
  [{ k: 1, normalize: true, groups: { count: 4, kept: 5, worth: "best" } }, "5 of 4 groups of 8 experts"],
] as [RouteOptions, string][])("is refused: %p", async (options, message) => {
  const inputs = { logits: { shape: [1, 8], data: new Float32Array(8) } };
  const run = runOp(gpu, { inputs, build: (rec, { logits }) => ({ w: route(rec, logits!, options).weights }) });
  await expect(run).rejects.toThrow(message);
});
