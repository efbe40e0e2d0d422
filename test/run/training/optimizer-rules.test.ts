/** Optimizers whose steps are recorded with ops, against float64 over 20 steps; their states, memory and refusals. */
import { describe, expect, test } from "bun:test";
import { UserError } from "../../../src/errors.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import type { Optimizer } from "../../../src/run/training/optimizer.ts";
import { Updater } from "../../../src/run/training/updater.ts";
import { method as adafactor } from "../../../src/train/methods/optimizers/adafactor.ts";
import { method as adamMini } from "../../../src/train/methods/optimizers/adam-mini.ts";
import { method as muon } from "../../../src/train/methods/optimizers/muon.ts";
import { method as scheduleFree } from "../../../src/train/methods/optimizers/schedule-free.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import {
  adamw,
  checkOptimizer,
  DECAY,
  LR,
  parametersOf,
  type Reference,
  rootMean,
  rowsOf,
  times,
  transposed,
  type Vector,
} from "./optimizer-harness.ts";

covers("train/apply-update", "train/clip-gradient", "train/keep-state", "train/read-weight");

const gpu = await sharedGpu();

/** Newton and Schulz of a matrix whose rows are not more than its columns, else of its transpose. */
function orthogonal(x: Vector, m: number, n: number): Vector {
  if (m > n) return transposed(orthogonal(transposed(x, m, n), n, m), n, m);
  const norm = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0)) + 1e-7;
  let y = x.map((v) => v / norm);
  for (let i = 0; i < 5; i++) {
    const a = times(y, transposed(y, m, n), m, n, m);
    const aa = times(a, a, m, m, m);
    const b = a.map((v, at) => -4.775 * v + 2.0315 * aa[at]!);
    const by = times(b, y, m, m, n);
    y = y.map((v, at) => 3.4445 * v + by[at]!);
  }
  return y;
}

const REFERENCES: Readonly<Record<string, Reference>> = {
  "muon, as large as AdamW's": {
    optimizer: muon as unknown as Optimizer,
    step(w, g, s, t, shape, name) {
      if (shape.length < 2 || shape[0] === 1) return adamw(w, g, s, t, shape, name);
      const [m, n] = shape as [number, number];
      s.m ??= new Float64Array(w.length);
      for (let i = 0; i < w.length; i++) s.m[i] = 0.95 * s.m[i]! + 0.05 * g[i]!;
      const u = orthogonal(
        g.map((x, i) => 0.05 * x + 0.95 * s.m![i]!),
        m,
        n,
      );
      for (let i = 0; i < w.length; i++) w[i] = w[i]! * (1 - LR * DECAY) - LR * 0.2 * Math.sqrt(Math.max(m, n)) * u[i]!;
    },
  },
  "muon, original, without Nesterov": {
    optimizer: muon as unknown as Optimizer,
    values: { muon_size: "original", nesterov: false },
    step(w, g, s, t, shape, name) {
      if (shape.length < 2 || shape[0] === 1) return adamw(w, g, s, t, shape, name);
      const [m, n] = shape as [number, number];
      s.m ??= new Float64Array(w.length);
      for (let i = 0; i < w.length; i++) s.m[i] = 0.95 * s.m[i]! + 0.05 * g[i]!;
      const u = orthogonal(s.m, m, n);
      for (let i = 0; i < w.length; i++) w[i] = w[i]! * (1 - LR * DECAY) - LR * Math.sqrt(Math.max(1, m / n)) * u[i]!;
    },
  },
  adafactor: {
    optimizer: adafactor as unknown as Optimizer,
    values: { weight_decay: DECAY },
    step(w, g, s, t, shape) {
      const [r, c] = shape.length === 2 ? (shape as [number, number]) : [1, w.length];
      const rest = t ** -0.8;
      const squares = g.map((x) => x * x);
      let variance: Vector;
      if (shape.length === 2 && r > 1) {
        s.row ??= new Float64Array(r);
        s.column ??= new Float64Array(c);
        for (let i = 0; i < r; i++)
          s.row[i] = (1 - rest) * s.row[i]! + (rest * squares.slice(i * c, i * c + c).reduce((a, b) => a + b, 0)) / c;
        for (let j = 0; j < c; j++)
          s.column[j] =
            (1 - rest) * s.column[j]! + (rest * squares.filter((_, at) => at % c === j).reduce((a, b) => a + b, 0)) / r;
        const level = Math.max(s.row.reduce((a, b) => a + b, 0) / r, 2 ** -23);
        variance = w.map((_, at) => (s.row![Math.floor(at / c)]! * s.column![at % c]!) / level);
      } else {
        s.v ??= new Float64Array(w.length);
        for (let i = 0; i < w.length; i++) s.v[i] = (1 - rest) * s.v[i]! + rest * squares[i]!;
        variance = s.v;
      }
      const raw = g.map((x, i) => x / Math.sqrt(Math.max(variance[i]!, 2 ** -46)));
      const factor = (Math.min(LR, 1 / Math.sqrt(t)) * Math.max(1e-3, rootMean(w))) / Math.max(1, rootMean(raw));
      for (let i = 0; i < w.length; i++) w[i] = w[i]! * (1 - LR * DECAY) - factor * raw[i]!;
    },
  },
  "schedule-free": {
    optimizer: scheduleFree as unknown as Optimizer,
    values: { weight_decay: DECAY },
    step(y, g, s, t) {
      s.z ??= y.slice();
      s.v ??= new Float64Array(y.length);
      s.sum ??= new Float64Array(1);
      s.sum[0]! += LR * LR;
      const c = (LR * LR) / s.sum[0]!;
      for (let i = 0; i < y.length; i++) {
        s.v[i] = 0.95 * s.v[i]! + 0.05 * g[i]! ** 2;
        const step = LR * (g[i]! / (Math.sqrt(s.v[i]! / (1 - 0.95 ** t)) + 1e-8) + DECAY * y[i]!);
        const x = (y[i]! - 0.1 * s.z[i]!) / 0.9;
        s.z[i]! -= step;
        y[i] = 0.1 * s.z[i]! + 0.9 * ((1 - c) * x + c * s.z[i]!);
      }
    },
  },
  "adam-mini": {
    optimizer: adamMini as unknown as Optimizer,
    step(w, g, s, t, shape) {
      const rows = rowsOf(shape);
      const c = w.length / rows;
      s.m ??= new Float64Array(w.length);
      s.v ??= new Float64Array(rows);
      for (let i = 0; i < rows; i++) s.v[i] = 0.95 * s.v[i]! + 0.05 * rootMean(g.slice(i * c, i * c + c)) ** 2;
      for (let i = 0; i < w.length; i++) {
        s.m[i] = 0.9 * s.m[i]! + 0.1 * g[i]!;
        const size = Math.sqrt(s.v[Math.floor(i / c)]! / (1 - 0.95 ** t)) + 1e-8;
        w[i] = w[i]! * (1 - LR * DECAY) - (LR * s.m[i]!) / (1 - 0.9 ** t) / size;
      }
    },
  },
};

describe.each(Object.keys(REFERENCES))("%s", (name) => checkOptimizer(REFERENCES[name]!));

test("adam-mini has a second moment for each head of queries and keys, in float64's way", async () => {
  const [parameter] = parametersOf("f32", [[12, 7]]);
  parameter!.heads = 3;
  parameter!.write(normals(1, 84));
  const w = Float64Array.from(normals(1, 84));
  const states = { m: new Float64Array(84), v: new Float64Array(3) };
  const optimizer = bindDefaults(adamMini as unknown as Optimizer);
  const updater = await Updater.make(gpu, [parameter!], { optimizer, decays: () => true, clip: 0 });
  for (let t = 1; t <= 5; t++) {
    const g = normals(10 + t, 84);
    gpu.write(parameter!.gradient, 0, new Uint8Array(g.buffer));
    await updater.step(t, LR, 0);
    REFERENCES["adam-mini"]!.step(w, Float64Array.from(g), states, t, [3, 28], "w0");
  }
  const found = await gpu.readFloats(parameter!.buffer, 84);
  expect(found.every((x, i) => Math.abs(x - w[i]!) < 1e-5)).toBe(true);
  expect(updater.states().map(({ shape }) => shape)).toEqual([[12, 7], [3]]);
  updater.free();
  parameter!.free();
});

test("states are as small as is said, and named apart", async () => {
  const parameters = parametersOf();
  const floats = async (optimizer: Optimizer) => {
    const updater = await Updater.make(gpu, parameters, {
      optimizer: bindDefaults(optimizer),
      decays: () => true,
      clip: 0,
    });
    const states = updater.states();
    expect(new Set(states.map(({ name }) => name)).size).toBe(states.length);
    updater.free();
    return states.reduce((sum, { bytes }) => sum + bytes / 4, 0);
  };
  const all = parameters.reduce((sum, { size }) => sum + size, 0);
  const vectors = 7 + 5;
  expect(await floats(muon as unknown as Optimizer)).toBe(all - vectors + 2 * vectors);
  expect(await floats(adafactor as unknown as Optimizer)).toBe(16 + 16 + 98 + 7 + 5);
  expect(await floats(adamMini as unknown as Optimizer)).toBe(all + 6 + 10 + 33 + 1 + 1);
  for (const p of parameters) p.free();
});

test("bf16 states of a rule are refused", async () => {
  const parameters = parametersOf();
  const making = Updater.make(gpu, parameters, {
    optimizer: bindDefaults(adamMini),
    decays: () => true,
    clip: 0,
    stateDtype: "bf16",
  } as never);
  expect(making).rejects.toThrow(UserError);
  await making.catch(() => {});
  for (const p of parameters) p.free();
});
