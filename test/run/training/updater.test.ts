import { describe, expect, test } from "bun:test";
import { bind } from "../../../src/method/bind.ts";
import type { Optimizer } from "../../../src/run/training/optimizer.ts";
import { Updater } from "../../../src/run/training/updater.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { method as adan } from "../../../src/train/methods/optimizers/adan.ts";
import { method as lion } from "../../../src/train/methods/optimizers/lion.ts";
import { method as sgd } from "../../../src/train/methods/optimizers/sgd.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("train/adamw", "train/adan", "train/lion", "train/sgd", "training/clip-factor", "training/square-sums");

const gpu = await sharedGpu();
const SIZES = [1, 3, 255, 257, 17000];
const LR = 0.01;

/** One optimizer of one tensor in float64: updates w and its states in place for step t. */
type Reference = (w: Float64Array, g: Float64Array, s: Float64Array[], t: number, decay: number) => void;

const references: Record<
  string,
  { optimizer: Optimizer; values: Record<string, number | boolean>; reference: Reference }
> = {
  adamw: {
    optimizer: adamw as unknown as Optimizer,
    values: { beta1: 0.9, beta2: 0.95, eps: 1e-5, weight_decay: 0.1 },
    reference(w, g, [m, v], t, decay) {
      for (let i = 0; i < w.length; i++) {
        w[i]! -= LR * decay * w[i]!;
        m![i] = 0.9 * m![i]! + 0.1 * g[i]!;
        v![i] = 0.95 * v![i]! + 0.05 * g[i]! ** 2;
        w[i]! -= (LR * (m![i]! / (1 - 0.9 ** t))) / (Math.sqrt(v![i]! / (1 - 0.95 ** t)) + 1e-5);
      }
    },
  },
  sgd: {
    optimizer: sgd as unknown as Optimizer,
    values: { momentum: 0.9, nesterov: false, weight_decay: 0.1 },
    reference(w, g, [b], t, decay) {
      for (let i = 0; i < w.length; i++) {
        const full = g[i]! + decay * w[i]!;
        b![i] = t === 1 ? full : 0.9 * b![i]! + full;
        w[i]! -= LR * b![i]!;
      }
    },
  },
  nesterov: {
    optimizer: sgd as unknown as Optimizer,
    values: { momentum: 0.8, nesterov: true, weight_decay: 0 },
    reference(w, g, [b], t) {
      for (let i = 0; i < w.length; i++) {
        b![i] = t === 1 ? g[i]! : 0.8 * b![i]! + g[i]!;
        w[i]! -= LR * (g[i]! + 0.8 * b![i]!);
      }
    },
  },
  lion: {
    optimizer: lion as unknown as Optimizer,
    values: { beta1: 0.9, beta2: 0.99, weight_decay: 0.1 },
    reference(w, g, [m], _, decay) {
      for (let i = 0; i < w.length; i++) {
        w[i] = w[i]! * (1 - LR * decay) - LR * Math.sign(0.9 * m![i]! + 0.1 * g[i]!);
        m![i] = 0.99 * m![i]! + 0.01 * g[i]!;
      }
    },
  },
  adan: {
    optimizer: adan as unknown as Optimizer,
    values: { beta1: 0.98, beta2: 0.92, beta3: 0.99, eps: 1e-6, weight_decay: 0.1 },
    reference(w, g, [m, v, n, p], t, decay) {
      for (let i = 0; i < w.length; i++) {
        const d = t === 1 ? 0 : g[i]! - p![i]!;
        m![i] = 0.98 * m![i]! + 0.02 * g[i]!;
        v![i] = 0.92 * v![i]! + 0.08 * d;
        const h = g[i]! + 0.92 * d;
        n![i] = 0.99 * n![i]! + 0.01 * h * h;
        const up = m![i]! / (1 - 0.98 ** t) + (0.92 * v![i]!) / (1 - 0.92 ** t);
        w[i] = (w[i]! - (LR * up) / (Math.sqrt(n![i]! / (1 - 0.99 ** t)) + 1e-6)) / (1 + LR * decay);
        p![i] = g[i]!;
      }
    },
  },
};

const parametersOf = (dtype: "f32" | "bf16" = "f32") =>
  SIZES.map((size, i) => new Parameter(gpu, i === 0 ? "norm.weight" : `layer.${i}.weight`, [size], dtype));
const decays = (p: Parameter) => p.name !== "norm.weight";

describe.each(Object.keys(references))("%s", (name) => {
  const { optimizer, values, reference } = references[name]!;

  test.each([0, 1.5])("five steps agree with float64, clipped at %d", async (clip) => {
    const parameters = parametersOf();
    const w = parameters.map(({ size }, i) => Float64Array.from(normals(10 + i, size)));
    for (const [i, p] of parameters.entries()) p.write(Float32Array.from(w[i]!));
    const w0 = w.map((values) => Float64Array.from(Float32Array.from(values)));
    const states = parameters.map(({ size }) => (optimizer.states ?? []).map(() => new Float64Array(size)));
    const updater = await Updater.make(gpu, parameters, { optimizer: bind(optimizer, values), decays, clip });
    for (let t = 1; t <= 5; t++) {
      const g = parameters.map(({ size }, i) => Float32Array.from(normals(100 * t + i, size)));
      for (const [i, p] of parameters.entries()) gpu.write(p.gradient, 0, new Uint8Array(g[i]!.buffer));
      const norm = Math.sqrt(g.reduce((sum, values) => values.reduce((s, x) => s + x * x, sum), 0));
      expect(Math.abs((await updater.step(t, LR, 0)) / norm - 1)).toBeLessThan(1e-6);
      const factor = clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1;
      for (const [i, p] of parameters.entries()) {
        const decay = decays(p) ? Number(values.weight_decay) : 0;
        reference(
          w0[i]!,
          Float64Array.from(g[i]!, (x) => x * factor),
          states[i]!,
          t,
          decay,
        );
      }
    }
    for (const [i, p] of parameters.entries()) {
      const got = await gpu.readFloats(p.buffer, p.size);
      const worst = got.reduce((most, x, at) => Math.max(most, Math.abs(x - w0[i]![at]!)), 0);
      expect(worst).toBeLessThan(2e-6);
    }
    updater.free();
    for (const p of parameters) p.free();
  });
});

test("a param that an optimizer leaves without a value is named", async () => {
  const [weight] = parametersOf();
  const { optimizer, values } = references.adamw!;
  const made = (given: Record<string, number | boolean>) =>
    Updater.make(gpu, [weight!], { optimizer: bind(optimizer, given), decays, clip: 0 });
  const { eps: _, ...without } = values;
  expect(made(without)).rejects.toThrow("optimizer adamw: eps has no value; is every option");
  const broken = { ...optimizer, numbers: () => ({ shrink: undefined as unknown as number }) };
  expect(Updater.make(gpu, [weight!], { optimizer: bind(broken, values), decays, clip: 0 })).rejects.toThrow(
    "optimizer adamw: shrink has no value",
  );
  weight!.free();
});

test("a gradient that is not finite changes nothing, and is named", async () => {
  const parameters = parametersOf();
  for (const p of parameters) {
    p.write(new Float32Array(p.size).fill(1));
    const g = new Float32Array(p.size).fill(p.size === 255 ? Number.NaN : 1);
    gpu.write(p.gradient, 0, new Uint8Array(g.buffer));
  }
  const { optimizer, values } = references.adamw!;
  const updater = await Updater.make(gpu, parameters, { optimizer: bind(optimizer, values), decays, clip: 1 });
  expect(await updater.step(1, LR, 0)).toBeNaN();
  for (const p of parameters) expect((await gpu.readFloats(p.buffer, p.size)).every((x) => x === 1)).toBe(true);
  const [first, second] = await updater.largest(2);
  expect(first!.name).toBe("layer.2.weight");
  expect(second).toEqual({ name: "layer.4.weight", norm: expect.closeTo(Math.sqrt(17000), 3) });

  // Steps that were already under way change nothing either.
  gpu.write(parameters[2]!.gradient, 0, new Uint8Array(new Float32Array(255).fill(1).buffer));
  expect(await updater.step(2, LR, 0)).toBeCloseTo(Math.sqrt(17516), 2);
  for (const p of parameters) expect((await gpu.readFloats(p.buffer, p.size)).every((x) => x === 1)).toBe(true);
  updater.free();
  for (const p of parameters) p.free();
});

test("bf16 weights move on average by updates smaller than their unit, the same way each time", async () => {
  const run = async () => {
    const [p] = [new Parameter(gpu, "w", [4096], "bf16")];
    p.write(new Uint16Array(4096).fill(0x3f80)); // 1, whose neighbours are 1/128 above and 1/256 below
    gpu.write(p.gradient, 0, new Uint8Array(new Float32Array(4096).fill(1).buffer));
    const { optimizer } = references.sgd!;
    const values = { momentum: 0, nesterov: false, weight_decay: 0 };
    const updater = await Updater.make(gpu, [p], {
      optimizer: bind(optimizer, values),
      decays,
      clip: 0,
      stateDtype: "bf16",
    });
    await updater.step(1, 0.0005, 7);
    const words = await gpu.readWords(p.buffer, 2048);
    updater.free();
    p.free();
    return Uint16Array.from(words.buffer.byteLength ? new Uint16Array(words.buffer) : []);
  };
  const words = await run();
  const values = Float64Array.from(words, (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!);
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  // 12.8 % of the values go down by 1/256; four standard errors of their share are 0.021.
  expect(Math.abs((1 - mean) * 256 - 0.128)).toBeLessThan(0.021);
  expect(await run()).toEqual(words);
});

describe("rates and decay of parameters", () => {
  /** Weights after three AdamW steps. */
  async function stepped(options: { lr?: number; decay?: number; rateOf?: (p: Parameter) => number; of?: number }) {
    const { lr = LR, decay = 0.1, rateOf, of } = options;
    const parameters = parametersOf();
    for (const [i, p] of parameters.entries()) p.write(normals(10 + i, p.size));
    const { optimizer, values } = references.adamw!;
    const bound = bind(optimizer, { ...values, weight_decay: decay });
    const updater = await Updater.make(gpu, parameters, {
      optimizer: bound,
      decays,
      clip: 0,
      rateOf,
      independentOf: of,
    });
    for (let t = 1; t <= 3; t++) {
      for (const [i, p] of parameters.entries())
        gpu.write(p.gradient, 0, new Uint8Array(normals(100 * t + i, p.size).buffer));
      await updater.step(t, lr, 0);
    }
    const found = await Promise.all(parameters.map((p) => gpu.readFloats(p.buffer, p.size)));
    updater.free();
    for (const p of parameters) p.free();
    return found;
  }

  test("a parameter at half the rate moves as all do at half the rate", async () => {
    const some = await stepped({ rateOf: ({ name }) => (name === "layer.2.weight" ? 0.5 : 1) });
    const [whole, half] = [await stepped({}), await stepped({ lr: LR / 2 })];
    expect(some[2]).toEqual(half[2]!);
    expect(some[3]).toEqual(whole[3]!);
    expect(some[2]).not.toEqual(whole[2]!);
  });

  test("independent decay is the same whatever the largest rate, and follows the schedule", async () => {
    const at = await stepped({ of: LR, decay: 0.01 });
    const coupled = await stepped({ decay: 0.01 / LR });
    for (const [i, x] of at[3]!.entries()) expect(x).toBeCloseTo(coupled[3]![i]!, 6);
    // Half way down the schedule half of it is taken off.
    const down = await stepped({ of: LR, decay: 0.01, lr: LR / 2 });
    const same = await stepped({ decay: 0.01 / LR, lr: LR / 2 });
    for (const [i, x] of down[3]!.entries()) expect(x).toBeCloseTo(same[3]![i]!, 6);
  });

  test("decay that is a part of the gradient cannot be independent", async () => {
    const parameters = parametersOf();
    const { optimizer, values } = references.sgd!;
    const making = Updater.make(gpu, parameters, {
      optimizer: bind(optimizer, values),
      decays,
      clip: 0,
      independentOf: 1,
    });
    await expect(making).rejects.toThrow("--independent-decay");
    for (const p of parameters) p.free();
  });
});
