/** Optimizers against float64: references, and the checks that all optimizers with rules go through. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import type { Optimizer } from "../../../src/run/training/optimizer.ts";
import { Updater } from "../../../src/run/training/updater.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
export const [LR, STEPS, DECAY] = [0.01, 20, 0.1];
export const SHAPES = [[6, 10], [10, 6], [33, 65], [7], [1, 5]];

export type Vector = Float64Array;
/** A step of one tensor in float64: changes w and its states. */
export type Step = (
  w: Vector,
  g: Vector,
  s: Record<string, Vector>,
  t: number,
  shape: readonly number[],
  name: string,
) => void;

export const rowsOf = (shape: readonly number[]) => (shape.length < 2 ? 1 : shape[0]!);
export const times = (a: Vector, b: Vector, m: number, k: number, n: number): Vector => {
  const c = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let l = 0; l < k; l++) for (let j = 0; j < n; j++) c[i * n + j]! += a[i * k + l]! * b[l * n + j]!;
  return c;
};
export const transposed = (a: Vector, m: number, n: number): Vector =>
  Float64Array.from({ length: m * n }, (_, i) => a[(i % m) * n + Math.floor(i / m)]!);
export const rootMean = (x: Vector) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length);

export const adamw: Step = (w, g, s, t) => {
  s.m ??= new Float64Array(w.length);
  s.v ??= new Float64Array(w.length);
  for (let i = 0; i < w.length; i++) {
    s.m[i] = 0.9 * s.m[i]! + 0.1 * g[i]!;
    s.v[i] = 0.95 * s.v[i]! + 0.05 * g[i]! ** 2;
    w[i] = w[i]! * (1 - LR * DECAY) - (LR * (s.m[i]! / (1 - 0.9 ** t))) / (Math.sqrt(s.v[i]! / (1 - 0.95 ** t)) + 1e-8);
  }
};

export interface Reference {
  readonly optimizer: Optimizer;
  readonly values?: Readonly<Record<string, unknown>>;
  readonly step: Step;
  /** Largest distance of a weight from float64 after all steps; 2e-5 when left out. */
  readonly within?: number;
  readonly shapes?: readonly (readonly number[])[];
}

export function parametersOf(dtype: "f32" | "bf16" = "f32", shapes: Reference["shapes"] = SHAPES) {
  const parameters = shapes.map((shape, i) => new Parameter(gpu, `w${i}`, shape, dtype));
  for (const parameter of parameters) parameter.isHidden = parameter.shape.length === 2 && parameter.shape[0]! > 1;
  return parameters;
}

/** Registers the checks of one optimizer. */
export function checkOptimizer({ optimizer, values = {}, step, within = 2e-5, shapes = SHAPES }: Reference): void {
  test.each([0, 2])("20 steps agree with float64, clipped at %d", async (clip) => {
    const parameters = parametersOf("f32", shapes);
    const w = parameters.map(({ size }, i) => Float64Array.from(normals(10 + i, size)));
    for (const [i, p] of parameters.entries()) p.write(Float32Array.from(w[i]!));
    const states = parameters.map(() => ({}));
    const bound = bindDefaults(optimizer, values);
    const updater = await Updater.make(gpu, parameters, { optimizer: bound, decays: () => true, clip });
    for (let t = 1; t <= STEPS; t++) {
      const g = parameters.map(({ size }, i) => Float32Array.from(normals(100 * t + i, size)));
      for (const [i, p] of parameters.entries()) gpu.write(p.gradient, 0, new Uint8Array(g[i]!.buffer));
      const norm = Math.sqrt(g.reduce((sum, own) => own.reduce((s, x) => s + x * x, sum), 0));
      await updater.step(t, LR, 0);
      const factor = clip > 0 ? Math.min(1, clip / (norm + 1e-6)) : 1;
      for (const [i, { shape }] of parameters.entries())
        step(
          w[i]!,
          Float64Array.from(g[i]!, (x) => x * factor),
          states[i]!,
          t,
          shape,
          parameters[i]!.name,
        );
    }
    for (const [i, p] of parameters.entries()) {
      const got = await gpu.readFloats(p.buffer, p.size);
      const worst = got.reduce((most, x, at) => Math.max(most, Math.abs(x - w[i]![at]!)), 0);
      expect([p.name, worst < within]).toEqual([p.name, true]);
    }
    updater.free();
    for (const p of parameters) p.free();
  });

  test("gradients that are not finite change nothing, then or later", async () => {
    const parameters = parametersOf("bf16", shapes);
    for (const [i, p] of parameters.entries())
      p.write(Uint16Array.from(new Uint32Array(normals(10 + i, p.size).buffer), (bits) => bits >>> 16));
    const bytes = () =>
      Promise.all(
        parameters.map(({ buffer, bytes: size }) =>
          gpu.read(buffer, 0, Math.ceil(size / 4) * 4, (view) => view.slice(0, size)),
        ),
      );
    const bound = bindDefaults(optimizer, values);
    const updater = await Updater.make(gpu, parameters, { optimizer: bound, decays: () => true, clip: 0 });
    const fill = (of: (i: number, size: number) => Float32Array) => {
      for (const [i, p] of parameters.entries()) gpu.write(p.gradient, 0, new Uint8Array(of(i, p.size).buffer));
    };
    fill((i, size) => normals(i, size));
    await updater.step(1, LR, 0);
    const [before, states] = [await bytes(), updater.states().length];
    fill((i, size) => normals(i, size).map((x) => (i === 2 ? Number.NaN : x)));
    await updater.step(2, LR, 0);
    fill((i, size) => normals(i, size));
    await updater.step(3, LR, 0);
    expect(await bytes()).toEqual(before);
    expect(states).toBeGreaterThan(0);
    for (const { buffer, bytes: size } of updater.states())
      expect((await gpu.readFloats(buffer, size / 4)).every((x) => Number.isFinite(x))).toBe(true);
    updater.free();
    for (const p of parameters) p.free();
  });

  test("goes on from saved states with the same bytes", async () => {
    const parameters = parametersOf("f32", shapes);
    const options = { optimizer: bindDefaults(optimizer, values), decays: () => true, clip: 0 };
    const steps = async (updater: Updater, from: number, to: number) => {
      for (let t = from; t <= to; t++) {
        for (const [i, p] of parameters.entries())
          gpu.write(p.gradient, 0, new Uint8Array(normals(100 * t + i, p.size).buffer));
        await updater.step(t, LR, 3);
      }
    };
    const bytesOf = ({ buffer, bytes }: { buffer: GPUBuffer; bytes: number }) =>
      gpu.read(buffer, 0, Math.ceil(bytes / 4) * 4, (view) => view.slice(0, bytes));
    for (const [i, p] of parameters.entries()) p.write(normals(10 + i, p.size));
    const first = await Updater.make(gpu, parameters, options);
    await steps(first, 1, 5);
    const saved = new Map<string, Uint8Array>();
    for (const state of first.states()) saved.set(state.name, await bytesOf(state));
    const weights = await Promise.all(parameters.map(bytesOf));
    await steps(first, 6, 9);
    const whole = await Promise.all(parameters.map(bytesOf));
    first.free();
    for (const [i, p] of parameters.entries()) gpu.write(p.buffer, 0, weights[i]!);
    const second = await Updater.make(gpu, parameters, options);
    for (const { name, buffer } of second.states()) gpu.write(buffer, 0, saved.get(name)!);
    await steps(second, 6, 9);
    expect(await Promise.all(parameters.map(bytesOf))).toEqual(whole);
    second.free();
    for (const p of parameters) p.free();
  });
}
