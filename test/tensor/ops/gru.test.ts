/** Gated recurrent units against PyTorch's equations in float64. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { gru } from "../../../src/tensor/ops/gru.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("gru/scan", "gru/scan-gradient");

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

interface Given {
  readonly x: ArrayLike<number>;
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
}

/** States of all tokens; where a position is 0 a state begins. */
function reference(
  { x, weight, bias }: Given,
  batch: number,
  units: number,
  positions: readonly number[],
): Float64Array {
  const t = positions.length / batch;
  const h = new Float64Array(positions.length * units);
  for (let b = 0; b < batch; b++) {
    let state = new Float64Array(units);
    for (let step = 0; step < t; step++) {
      const row = b * t + step;
      if (positions[row] === 0) state = new Float64Array(units);
      const own = state;
      const product = (gate: number, i: number) =>
        own.reduce((sum, s, j) => sum + weight[(gate * units + i) * units + j]! * s, bias[gate * units + i]!);
      state = own.map((before, i) => {
        const [r, z] = [0, 1].map((gate) => sigmoid(x[(row * 3 + gate) * units + i]! + product(gate, i)));
        const n = Math.tanh(x[(row * 3 + 2) * units + i]! + r! * product(2, i));
        return (1 - z!) * n + z! * before;
      });
      h.set(state, row * units);
    }
  }
  return h;
}

const inputsOf = (units: number, n: number, deviation = 0.7) => ({
  x: { shape: [n, 3 * units], data: normals(1, 3 * n * units) },
  weight: { shape: [3 * units, units], data: normals(2, 3 * units * units, deviation / Math.sqrt(units)) },
  bias: { shape: [3 * units], data: normals(3, 3 * units, 0.3) },
});
const at = (positions: readonly number[]) => ({
  shape: [positions.length],
  data: Int32Array.from(positions),
  dtype: "i32" as const,
  grad: false,
});

describe.each([
  ["one unit, one token", 1, 1, [0]],
  ["one row", 1, 5, [0, 1, 2, 3, 4, 5, 6]],
  ["three rows of documents that follow each other", 3, 7, [0, 1, 2, 0, 1, 0, 1, 2, 3, 4, 0, 0, 0, 1, 2]],
  ["a row that goes on without its beginning", 2, 3, [4, 5, 6, 0, 1, 2]],
  ["more units than lanes", 2, 67, [0, 1, 2, 0, 1, 2]],
] as const)("%s", (name, batch, units, positions) => {
  test("states and gradients are those of float64", async () => {
    await checkOp(gpu, name, {
      entries: units > 9 ? 6 : 24,
      inputs: { ...inputsOf(units, positions.length), positions: at(positions) },
      build: (rec, { x, weight, bias, positions: where }) =>
        gru(rec, x!, { weight: weight!, bias: bias!, batch, positions: where! }),
      reference: ({ x, weight, bias }) => reference({ x: x!, weight: weight!, bias: bias! }, batch, units, positions),
    });
  });
});

test("tokens in two parts, the state kept between, are tokens at once; padding keeps it", async () => {
  const [batch, units] = [2, 5];
  const whole = inputsOf(units, 12);
  const rows = (from: number, to: number) =>
    Float32Array.from([0, 1].flatMap((row) => [...whole.x.data.subarray((row * 6 + from) * 15, (row * 6 + to) * 15)]));
  const wanted = reference(
    { x: whole.x.data, weight: whole.weight.data, bias: whole.bias.data },
    batch,
    units,
    [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5],
  );
  let state: Float32Array = new Float32Array(batch * units).fill(Number.NaN); // a cache may hold anything
  const run = async (from: number, to: number, positions: readonly number[]) => {
    const { outputs } = await runOp(gpu, {
      inputs: {
        ...whole,
        x: { shape: [batch * (to - from), 3 * units], data: rows(from, to) },
        state: { shape: [batch, units], data: state },
        positions: at(positions),
      },
      training: false,
      build(rec, { x, weight, bias, state: given, positions: where }) {
        const kept = rec.scratch([batch, units], "kept");
        rec.step({
          kernel: "recorder/add-into",
          bind: { x: given!, y: kept },
          params: { n: 10, accumulate: 0 },
          groups: [1],
        });
        const y = gru(rec, x!, { weight: weight!, bias: bias!, batch, positions: where!, state: kept });
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
    for (let i = 0; i < units; i++) expect(got[row * units + i]!).toBeCloseTo(wanted[place * units + i]!, 5);
  };
  for (let step = 0; step < 4; step++) near(first, step, step);
  for (let step = 0; step < 2; step++) near(first, 4 + step, 6 + step);
  for (let step = 0; step < 2; step++) near(second, 2 + step, 8 + step);
  for (const [row, place] of [4, 5, 10, 11].entries()) near(last, row, place);
});

test("what does not fit is refused", () => {
  const run = (units: number, n: number, batch: number, positions = n) =>
    runOp(gpu, {
      inputs: { ...inputsOf(units, n, 1), positions: at(Array<number>(positions).fill(0)) },
      build: (rec, { x, weight, bias, positions: where }) =>
        gru(rec, x!, { weight: weight!, bias: bias!, batch, positions: where! }),
    });
  expect(run(2, 3, 2)).rejects.toThrow("states of 2 units from (3, 6) in 2 rows");
  expect(run(2, 4, 2, 3)).rejects.toThrow("3 positions of 4 tokens");
});
