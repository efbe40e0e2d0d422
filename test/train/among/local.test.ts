/** What changes a client's local steps on the GPU, against float64, and the order of its rows. */
import { describe, expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { EMPTY, type Tensors } from "../../../src/run/among/contract.ts";
import { ranked, shareAt } from "../../../src/run/among/paced-rows.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { Guidance } from "../../../src/train/among/guidance.ts";
import { LocalRates } from "../../../src/train/among/local-rates.ts";
import { chosenByLoss } from "../../../src/train/among/selection.ts";
import { method as fedhyper } from "../../../src/train/methods/federations/fedhyper.ts";
import { scalesOf } from "../../../src/train/methods/federations/fedlex.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const SIZES = [3, 257];
const parameters = SIZES.map((size, i) => new Parameter(gpu, `p${i}`, [size]));
const start = SIZES.map((size, i) => normals(i, size));
const named = (values: readonly Float32Array[]): Tensors => new Map(values.map((own, i) => [`p${i}`, own]));
const write = (values: readonly Float32Array[]) => {
  for (const [i, own] of values.entries()) parameters[i]!.write(own);
};
const read = () => Promise.all(parameters.map(({ buffer, size }) => gpu.readFloats(buffer, size)));
const flat = (values: readonly Float32Array[]) => values.flatMap((own) => [...own]);
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
const cos = (a: readonly number[], b: readonly number[]) => {
  const lengths = Math.sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
};

describe("a client's own rate", () => {
  /** Steps that an optimizer would take; where the weights are after each, and the rate that is left. */
  async function walked(
    steps: readonly (readonly Float32Array[])[],
    server: readonly Float32Array[] | undefined,
    beta: number,
  ) {
    const rule = new LocalRates(gpu, parameters, { most: 10, normalises: true, steps: 1 });
    write(start);
    const told = server ? { tensors: named(server), numbers: {} } : EMPTY;
    rule.begin({ global: named(start), told, kept: { tensors: new Map(), numbers: { beta } } });
    for (const step of steps) {
      const now = await read();
      write(now.map((own, p) => own.map((value, i) => value + step[p]![i]!)));
      await rule.updates[0]!.after();
    }
    const { numbers } = await rule.end();
    const weights = await read();
    rule.free();
    return { weights, beta: numbers.beta! };
  }

  test("follows the formula", async () => {
    const server = SIZES.map((size, i) => normals(40 + i, size, 0.3));
    const steps = [0, 1, 2, 3].map((k) =>
      SIZES.map((size, i) =>
        normals(10 * k + i, size, 0.1).map((value, j) => value + (k === 3 ? -0.2 : 0.05) * server[i]![j]!),
      ),
    );
    const { weights, beta } = await walked(steps, server, 2);
    let [rate, last, x] = [2, flat(start).map(() => 0), flat(start)];
    for (const step of steps) {
      const u = flat(step).map((value) => rate * value);
      x = x.map((value, i) => value + u[i]!);
      rate = Math.min(10, Math.max(0.1, Math.min(1.1, 1 + cos(u, last) + 0.1 * cos(u, flat(server))) * rate));
      last = u;
    }
    expect(beta).toBeCloseTo(rate, 5);
    for (const [i, value] of flat(weights).entries()) expect(value).toBeCloseTo(x[i]!, 5);
  });

  test("stays where steps are orthogonal, and within its bounds", async () => {
    const along = (at: number) =>
      SIZES.map((size, i) => Float32Array.from({ length: size }, (_, j) => (i === 1 && j === at ? 0.1 : 0)));
    expect((await walked([along(0), along(1), along(2)], undefined, 1.5)).beta).toBeCloseTo(1.5, 5);
    const same = Array.from({ length: 30 }, () => along(0));
    expect((await walked(same, undefined, 1)).beta).toBeCloseTo(10, 4);
    const turning = Array.from({ length: 8 }, (_, k) =>
      along(0).map((own) => own.map((value) => (k % 2 === 0 ? value : -value))),
    );
    expect((await walked(turning, undefined, 1)).beta).toBeCloseTo(0.1, 5);
  });
});

test("the server's rate stays where changes are orthogonal, follows their agreement, and keeps its bounds", () => {
  const { values } = bindDefaults(fedhyper, { hyper_rates: ["global", "server"] });
  const base = { values, round: 1, global: named([Float32Array.of(0, 0)]), clients: ["a"] };
  const step = (change: number[], kept: { alpha: number; beta: number; last: number[] }) => {
    const arrivals = [
      { from: "a", round: 1, steps: 1, rows: 1, sent: { tensors: named([Float32Array.from(change)]), numbers: {} } },
    ];
    const { alpha, beta, last } = kept;
    const made = fedhyper.server({
      ...base,
      arrivals,
      kept: { tensors: named([Float32Array.from(last)]), numbers: { alpha, beta } },
    });
    return { found: made.metrics, x: [...made.global.get("p0")!] };
  };
  expect(step([0, 2], { alpha: 1.5, beta: 2, last: [3, 0] })).toEqual({
    found: { agreement: 0, server_rate: 1.5, client_rate: 2 },
    x: [0, 3],
  });
  expect(step([2, 0], { alpha: 1, beta: 1, last: [3, 0] })).toMatchObject({
    found: {
      agreement: 1,
      server_rate: 2,
      client_rate: 2,
    },
  });
  expect(step([-2, 0], { alpha: 1, beta: 1, last: [3, 0] })).toMatchObject({
    found: { server_rate: 1 / 3, client_rate: 0.1 },
  });
  expect(step([2, 0], { alpha: 3, beta: 10, last: [3, 0] })).toMatchObject({
    found: { server_rate: 3, client_rate: 10 },
  });
});

test("exploration is the mean change of gradients, and guidance scales them", async () => {
  let scales: Tensors | undefined;
  const rule = new Guidance(gpu, parameters, () => scales);
  const gradients = [0, 1, 2, 3].map((k) => SIZES.map((size, i) => normals(60 + 10 * k + i, size)));
  const set = (values: readonly Float32Array[]) => {
    for (const [i, { gradient }] of parameters.entries())
      gpu.write(gradient, 0, new Uint8Array(values[i]!.slice().buffer));
  };
  rule.begin({ told: EMPTY, kept: EMPTY });
  for (const own of gradients) {
    set(own);
    await rule.updates[0]!.before();
  }
  const { tensors } = await rule.end();
  const [d] = [1].map((i) => tensors.get(`p${i}`)!);
  for (const [j, value] of d!.entries()) {
    const jumps = [1, 2, 3].map((k) => Math.abs(gradients[k]![1]![j]! - gradients[k - 1]![1]![j]!));
    expect(value).toBeCloseTo((jumps[0]! + jumps[1]! + jumps[2]!) / 3, 5);
  }
  scales = scalesOf(tensors);
  rule.begin({ told: EMPTY, kept: EMPTY });
  set(gradients[0]!);
  await rule.updates[0]!.before();
  const scaled = await gpu.readFloats(parameters[1]!.gradient, SIZES[1]!);
  for (const [j, value] of scaled.entries())
    expect(value).toBeCloseTo(gradients[0]![1]![j]! * scales.get("p1")![j]!, 5);
  expect((await rule.end()).tensors.size).toBe(0);
  rule.free();
});

test("guidance is above 0 with a mean of 1, falls with what gradients change by, and does nothing where all change alike", () => {
  const changes = normals(5, 99).map(Math.abs);
  const scales = scalesOf(named([changes])).get("p0")!;
  expect(scales.reduce((a, b) => a + b, 0) / 99).toBeCloseTo(1, 5);
  const order = [...changes.keys()].sort((a, b) => changes[a]! - changes[b]!);
  for (const [k, i] of order.entries()) {
    expect(scales[i]!).toBeGreaterThan(0);
    if (k > 0) expect(scales[i]!).toBeLessThanOrEqual(scales[order[k - 1]!]!);
  }
  for (const value of [0, 0.3])
    expect([...scalesOf(named([new Float32Array(7).fill(value)])).get("p0")!]).toEqual(Array(7).fill(1));
});

test("rows come in by their losses, in shares that grow to all", () => {
  expect(ranked([3, 1, 2], "easy", 0, 0)).toEqual([1, 2, 0]);
  expect(ranked([3, 1, 2], "hard", 0, 0)).toEqual([0, 2, 1]);
  expect(ranked([3, 1, 2, 5, 4], "random", 0, 1)).not.toEqual(ranked([3, 1, 2, 5, 4], "random", 0, 2));
  for (const pace of ["linear", "quadratic", "exponential", "log", "root", "step"] as const) {
    const shares = Array.from({ length: 11 }, (_, s) => shareAt(s, 10, { pace, begin: 0.2, end: 0.8 }));
    expect(shares[0]!).toBeCloseTo(0.2, 9);
    for (const [s, share] of shares.entries()) if (s > 0) expect(share).toBeGreaterThanOrEqual(shares[s - 1]!);
    expect(shares.slice(8)).toEqual([1, 1, 1]);
    expect(shareAt(0, 10, { pace, begin: 1, end: 0.8 })).toBe(1);
  }
  expect(shareAt(4, 10, { pace: "linear", begin: 0.2, end: 0.8 })).toBeCloseTo(0.6, 9);
});

test("clients are chosen from the lowest losses up", () => {
  const losses = [5, 1, 4, 2, 3];
  expect([0, 1, 2].map((round) => chosenByLoss(losses, 2, round, 3))).toEqual([
    [1, 3],
    [2, 4],
    [0, 2],
  ]);
});
