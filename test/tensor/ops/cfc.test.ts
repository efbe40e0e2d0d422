/** Closed-form continuous-time cells against float64. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cfc } from "../../../src/tensor/ops/cfc.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("cfc/scan", "cfc/scan-gradient", "cfc/found");

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

type Given = Readonly<Record<"x" | "weight" | "heads" | "bias", ArrayLike<number>>>;

interface Sizes {
  readonly batch: number;
  readonly units: number;
  readonly inner: number;
  readonly step: number;
}

/** States of all tokens; where a position is 0 a state begins. */
function reference(
  { x, weight, heads, bias }: Given,
  { batch, units, inner, step: time }: Sizes,
  positions: readonly number[],
): Float64Array {
  const t = positions.length / batch;
  const s = new Float64Array(positions.length * units);
  const range = (n: number) => Array.from({ length: n }, (_, i) => i);
  for (let b = 0; b < batch; b++) {
    let state = range(units).map(() => 0);
    for (let step = 0; step < t; step++) {
      const row = b * t + step;
      if (positions[row] === 0) state = state.map(() => 0);
      const own = state;
      const z = range(inner).map((i) =>
        Math.tanh(own.reduce((sum, value, j) => sum + weight[i * units + j]! * value, x[row * inner + i]!)),
      );
      const head = (gate: number, i: number) =>
        z.reduce((sum, value, j) => sum + heads[(gate * units + i) * inner + j]! * value, bias[gate * units + i]!);
      state = range(units).map((i) => {
        const share = sigmoid(-head(0, i) * time);
        return share * Math.tanh(head(1, i)) + (1 - share) * Math.tanh(head(2, i));
      });
      s.set(state, row * units);
    }
  }
  return s;
}

const inputsOf = ({ units, inner }: Pick<Sizes, "units" | "inner">, n: number) => ({
  x: { shape: [n, inner], data: normals(1, n * inner) },
  weight: { shape: [inner, units], data: normals(2, inner * units, 0.9 / Math.sqrt(units)) },
  heads: { shape: [3 * units, inner], data: normals(3, 3 * units * inner, 0.9 / Math.sqrt(inner)) },
  bias: { shape: [3 * units], data: normals(4, 3 * units, 0.3) },
});
const at = (positions: readonly number[]) => ({
  shape: [positions.length],
  data: Int32Array.from(positions),
  dtype: "i32" as const,
  grad: false,
});

describe.each([
  ["one unit, one token", { batch: 1, units: 1, inner: 1, step: 1 }, [0]],
  ["one row, time of 2", { batch: 1, units: 5, inner: 3, step: 2 }, [0, 1, 2, 3, 4, 5, 6]],
  [
    "three rows of documents that follow each other",
    { batch: 3, units: 4, inner: 7, step: 0.5 },
    [0, 1, 2, 0, 1, 0, 1, 2, 3, 4, 0, 0, 0, 1, 2],
  ],
  ["a row that goes on without its beginning", { batch: 2, units: 3, inner: 2, step: 1 }, [4, 5, 6, 0, 1, 2]],
  ["more units than lanes", { batch: 2, units: 67, inner: 70, step: 1 }, [0, 1, 2, 0, 1, 2]],
] as const)("%s", (name, sizes, positions) => {
  test("states and gradients are those of float64", async () => {
    const { batch, units, step } = sizes;
    await checkOp(gpu, name, {
      entries: units > 9 ? 6 : 24,
      inputs: { ...inputsOf(sizes, positions.length), positions: at(positions) },
      build: (rec, { x, weight, heads, bias, positions: where }) =>
        cfc(rec, x!, { weight: weight!, heads: heads!, bias: bias!, batch, positions: where!, step }),
      reference: ({ x, weight, heads, bias }) =>
        reference({ x: x!, weight: weight!, heads: heads!, bias: bias! }, sizes, positions),
    });
  });
});

test("tokens in two parts, the state kept between, are tokens at once; padding keeps it", async () => {
  const sizes = { batch: 2, units: 5, inner: 3, step: 1 };
  const whole = inputsOf(sizes, 12);
  const rows = (from: number, to: number) =>
    Float32Array.from([0, 1].flatMap((row) => [...whole.x.data.subarray((row * 6 + from) * 3, (row * 6 + to) * 3)]));
  const data = Object.fromEntries(Object.entries(whole).map(([name, { data: values }]) => [name, values]));
  const { x = [], weight = [], heads = [], bias = [] } = data;
  const wanted = reference({ x, weight, heads, bias }, sizes, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
  let state: Float32Array = new Float32Array(10).fill(Number.NaN); // a cache may hold anything
  const run = async (from: number, to: number, positions: readonly number[]) => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        ...whole,
        x: { shape: [2 * (to - from), 3], data: rows(from, to) },
        state: { shape: [2, 5], data: state },
        positions: at(positions),
      },
      training: false,
      build(rec, given) {
        const kept = rec.scratch([2, 5], "kept");
        const bind = { x: given.state!, y: kept };
        rec.step({ kernel: "recorder/add-into", bind, params: { n: 10, accumulate: 0 }, groups: [1] });
        const y = cfc(rec, given.x!, {
          ...{ weight: given.weight!, heads: given.heads!, bias: given.bias!, positions: given.positions! },
          ...{ batch: 2, step: 1, state: kept },
        });
        return { y, kept };
      },
    });
    state = outputs.kept!;
    return outputs.y!;
  };
  const first = await run(0, 4, [0, 1, 2, 3, 0, 1, -1, -1]); // the second row has two tokens, and padding
  const second = await run(2, 4, [-1, -1, 2, 3]);
  const last = await run(4, 6, [4, 5, 4, 5]);
  const near = (got: ArrayLike<number>, row: number, place: number) => {
    for (let i = 0; i < 5; i++) expect(got[row * 5 + i]!).toBeCloseTo(wanted[place * 5 + i]!, 5);
  };
  for (let step = 0; step < 4; step++) near(first, step, step);
  for (let step = 0; step < 2; step++) near(first, 4 + step, 6 + step);
  for (let step = 0; step < 2; step++) near(second, 2 + step, 8 + step);
  for (const [row, place] of [4, 5, 10, 11].entries()) near(last, row, place);
});

test("after a long time with f above 0 the state is at its second target, with f below 0 at its first", async () => {
  const [units, inner] = [3, 4];
  const given = inputsOf({ units, inner }, 2);
  for (const [sign, target] of [
    [1, 2],
    [-1, 1],
  ] as const) {
    const bias = Float32Array.from(given.bias.data, (value, i) => (i < units ? 20 * sign : value));
    const { outputs } = await runOp(gpu, {
      inputs: { ...given, bias: { shape: [3 * units], data: bias }, positions: at([0, 1]) },
      build: (rec, { x, weight, heads, bias: b, positions }) =>
        cfc(rec, x!, { weight: weight!, heads: heads!, bias: b!, batch: 1, positions: positions!, step: 1e4 }),
    });
    // The first token finds no state, so that z is of the input alone.
    const z = Array.from({ length: inner }, (_, i) => Math.tanh(given.x.data[i]!));
    for (let i = 0; i < units; i++) {
      const row = target * units + i;
      const head = z.reduce((sum, value, j) => sum + given.heads.data[row * inner + j]! * value, bias[row]!);
      expect(outputs.y![i]).toBeCloseTo(Math.tanh(head), 5);
    }
  }
});

test("what does not fit is refused", () => {
  const run = (units: number, n: number, batch: number, positions = n) =>
    runOp(gpu, {
      inputs: { ...inputsOf({ units, inner: 2 }, n), positions: at(Array<number>(positions).fill(0)) },
      build: (rec, { x, weight, heads, bias, positions: where }) =>
        cfc(rec, x!, { weight: weight!, heads: heads!, bias: bias!, batch, positions: where!, step: 1 }),
    });
  expect(run(2, 3, 2)).rejects.toThrow("states of 2 units from (3, 2) in 2 rows");
  expect(run(2, 4, 2, 3)).rejects.toThrow("3 positions of 4 tokens");
});
