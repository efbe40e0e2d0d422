/** Exits of classifiers: shares of rows, decisions, what gates read, and the losses by which both are trained. */
import { describe, expect, test } from "bun:test";
import { Model } from "../../../src/model/model.ts";
import { layerCosts } from "../../../src/run/exits/costs.ts";
import {
  confidentExit,
  type ExitRow,
  exitOf,
  exitShares,
  meanCost,
  thresholdFor,
} from "../../../src/run/exits/deciding.ts";
import { type ExitStates, hearExits, saidBy } from "../../../src/run/exits/exit-rows.ts";
import { type ExitPlan, Exits, gateInputs, recordShares } from "../../../src/run/exits/exits.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { fate, gateObjective, headObjective, trainJei, warmedUp } from "../../../src/train/exits/jei.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();

const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0);
const units = (seed: number, count: number) => Array.from(normals(seed, count), (x) => 1 / (1 + Math.exp(-2 * x)));

describe("where rows leave", () => {
  test("shares are at least 0 and add up to 1, those of the gates to at most 1", () => {
    for (let seed = 0; seed < 50; seed++) {
      const gates = units(seed, 1 + (seed % 5));
      const shares = exitShares(gates);
      expect(shares.every((share) => share >= 0)).toBe(true);
      expect(sum(shares.slice(0, -1))).toBeLessThanOrEqual(1 + 1e-12);
      expect(sum(shares)).toBeCloseTo(1, 12);
    }
    expect(exitShares([0.7, 0.6, 0.2])).toEqual([0.7, 1 - 0.7, 0, 0]);
  });

  test("a row leaves at the first exit that takes half of what is left", () => {
    expect(exitOf([0.5, 0.9])).toBe(0);
    expect(exitOf([0.4, 0.31])).toBe(1); // 0.31 / 0.6 >= 1/2
    expect(exitOf([0.4, 0.29])).toBe(2);
    expect(exitOf([0, 0])).toBe(2);
  });

  test("the threshold of a cost is the largest that keeps within it", () => {
    const rows: ExitRow[] = Array.from({ length: 40 }, (_, row) => ({
      gates: [0.5],
      said: [
        { confidence: (row + 1) / 40, right: true },
        { confidence: 1, right: true },
      ],
    }));
    const costs = [0.25, 1];
    const cost = (threshold: number) =>
      meanCost(
        rows.map((row) => confidentExit(row, threshold)),
        costs,
      );
    for (const most of [0.25, 0.4, 0.7, 1]) {
      const threshold = thresholdFor(rows, costs, most);
      expect(cost(threshold)).toBeLessThanOrEqual(most);
      const next = [...rows].map(({ said }) => said[0]!.confidence).find((value) => value > threshold);
      if (next !== undefined) expect(cost(next)).toBeGreaterThan(most);
    }
  });

  test("the GPU's shares are the host's", async () => {
    const [a, b] = [units(7, 9), units(8, 9)];
    const { outputs } = await runOp(gpu, {
      inputs: { a: { shape: [9], data: Float32Array.from(a) }, b: { shape: [9], data: Float32Array.from(b) } },
      build: (rec, x) => {
        const [first, second, rest] = recordShares(rec, [x.a!, x.b!]);
        return { first: first!, second: second!, rest: rest! };
      },
      training: false,
    });
    for (let row = 0; row < 9; row++) {
      const wanted = exitShares([a[row]!, b[row]!]);
      for (const [i, name] of ["first", "second", "rest"].entries())
        expect(outputs[name]![row]).toBeCloseTo(wanted[i]!, 6);
    }
  });
});

test("a gate reads the largest probability, two entropies and the margin", async () => {
  const logits = normals(3, 5 * 7, 2);
  const { outputs } = await runOp(gpu, {
    inputs: { logits: { shape: [5, 7], data: logits } },
    build: (rec, x) => gateInputs(rec, x.logits!),
    training: false,
  });
  for (let row = 0; row < 5; row++) {
    const own = Array.from(logits.subarray(7 * row, 7 * row + 7), Math.exp);
    const p = own.map((value) => value / sum(own));
    const squares = p.map((value) => value ** 2);
    const q = squares.map((value) => value / sum(squares));
    const entropy = (shares: number[]) => -sum(shares.map((share) => share * Math.log(share)));
    const [first = 0, second = 0] = [...p].sort((a, b) => b - a);
    const wanted = [first, entropy(p), first - second, entropy(q)];
    for (const [i, value] of wanted.entries()) expect(outputs.y![4 * row + i]).toBeCloseTo(value, 5);
  }
});

const PLAN: ExitPlan = { at: [1, 2], widths: [3, 4], classes: 3, costs: [0.2, 0.6, 1] };
const rowsOf = (count: number, seed: number): ExitStates[] =>
  Array.from({ length: count }, (_, row) => ({
    states: PLAN.widths.map((width, exit) => normals(1000 * seed + 10 * row + exit, width)),
    logits: normals(1000 * seed + 10 * row + 5, 3),
    label: row % 3,
  }));

describe("losses", () => {
  const rows = rowsOf(6, 1);
  const exits = Exits.fresh(gpu, PLAN, 4);
  for (const [i, { weight }] of exits.gates.entries()) weight.write(normals(50 + i, 4));

  /** The loss of an objective, and the gradients of some parameters. */
  async function gradients(objective: ReturnType<typeof headObjective>, openWeights: readonly number[] = []) {
    const rec = new Recorder(profileOf(gpu));
    const batch = { rows, openWeights };
    const { backward, metrics } = objective.record(rec, batch, "");
    rec.output("loss", metrics.loss!);
    rec.backward(backward);
    const reached = rec.reached();
    const program = await Program.compile(gpu, rec);
    for (const { gradient, size } of exits.parameters()) gpu.clear(gradient, Math.max(16, 4 * size));
    objective.fill(program, batch, 6, "");
    program.run({ step: 1, accumulate: 0, seed: 0 });
    const [loss = Number.NaN] = await program.read("loss");
    const found = new Map<string, Float32Array>();
    for (const parameter of exits.parameters())
      if (reached.has(parameter)) found.set(parameter.name, await gpu.readFloats(parameter.gradient, parameter.size));
    program.free();
    return { loss, found };
  }

  test("a head learns by its share of each row, whose magnitude stays", async () => {
    const heard = await hearExits(gpu, exits, rows);
    const { loss, found } = await gradients(headObjective(exits));
    const all = heard.map(({ said }) => sum(said.map((exit) => exit.loss)));
    expect(loss).toBeCloseTo(sum(all) / 6, 4);
    expect([...found.keys()].every((name) => name.startsWith("heads."))).toBe(true);
    // The bias of the first head: sum over rows of (p - y) P ratio / rows, with P and the ratio as constants.
    const wanted = [0, 0, 0];
    for (const [row, { said, gates }] of heard.entries()) {
      const shares = exitShares(gates);
      const ratio = all[row]! / sum(said.map((exit, i) => shares[i]! * exit.loss));
      const head = exits.heads[0]!;
      const weight = await gpu.readFloats(head.weight.buffer, 9);
      const state = rows[row]!.states[0]!;
      const z = [0, 1, 2].map((k) => sum([0, 1, 2].map((i) => weight[3 * k + i]! * state[i]!)));
      const p = z.map((value) => Math.exp(value) / sum(z.map(Math.exp)));
      for (const k of [0, 1, 2]) wanted[k]! += ((p[k]! - (k === rows[row]!.label ? 1 : 0)) * shares[0]! * ratio) / 6;
    }
    for (const k of [0, 1, 2]) expect(found.get("heads.0.bias")![k]).toBeCloseTo(wanted[k]!, 4);
  });

  test("gates are to open from the cheapest exit on, and heads learn nothing from it", async () => {
    const heard = await hearExits(gpu, exits, rows);
    const [lambda, weights] = [0.5, [2, 0.5]];
    const { loss, found } = await gradients(gateObjective(exits, lambda), weights);
    expect([...found.keys()].every((name) => name.startsWith("gates."))).toBe(true);
    const wanted = heard.map(({ said, gates }) => {
      const costs = said.map((exit, i) => exit.loss + lambda * PLAN.costs[i]!);
      const best = costs.indexOf(Math.min(...costs));
      return sum(gates.map((gate, i) => -(i >= best ? weights[i]! * Math.log(gate) : Math.log(1 - gate))));
    });
    expect(loss).toBeCloseTo(sum(wanted) / 6, 4);
  });
});

describe("training", () => {
  const options = {
    ...{ epochs: 3, warmUp: 1, patience: 2, turn: 4, batch: 16, decay: 0, seed: 1 },
    ...{ lr: { first: 0.05, last: 0.01 }, signal: new AbortController().signal },
  };
  const rows = { train: rowsOf(64, 2), held: rowsOf(32, 3) };

  test("a cost above all losses sends every row to the first exit", async () => {
    const dear = { ...options, lambda: 1e4 };
    const exits = await warmedUp(gpu, PLAN, rows, dear);
    await trainJei(gpu, exits, rows, dear);
    expect(fate(await hearExits(gpu, exits, rows.held), PLAN).cost).toBeCloseTo(0.2, 9);
    exits.free();
  });

  test("equal seeds give equal exits", async () => {
    const once = async () => {
      const exits = await warmedUp(gpu, PLAN, rows, { ...options, lambda: 0.7 });
      await trainJei(gpu, exits, rows, { ...options, lambda: 0.7, epochs: 1 });
      const values = await Promise.all(exits.parameters().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
      exits.free();
      return values;
    };
    expect(await once()).toEqual(await once());
  });
});

test("costs are shares of multiplications, and convolutions have none", async () => {
  const json = { model_type: "mlp", input_size: 2, hidden_sizes: [3, 4], num_labels: 5 };
  const model = await Model.fresh(gpu, json, "m", { seed: 1 });
  const total = 6 + 12 + 20;
  expect(layerCosts(model).shares).toEqual([6 / total, 18 / total, 1]);
  model.free();
});

test("what logits say", () => {
  const { confidence, right, loss } = saidBy([0, Math.log(3)], 0);
  expect([confidence, right]).toEqual([0.75, false]);
  expect(loss).toBeCloseTo(Math.log(4), 12);
});
