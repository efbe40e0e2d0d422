/**
 * The second half of a training step: global norm, clipping, and every parameter's update, as one program that never
 * waits.
 *
 * Memory: the optimizer's states, f32 or bf16, each as large as the trained parameters or as its rule says, and what
 * the largest parameter's rule works in.
 */

import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Bound } from "../../method/bind.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { dynamic, Recorder } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import { bytesOf, sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { type RecordedNorm, recordGradientNorm } from "./gradient-norm.ts";
import { dynamicParams, numberName, type Optimizer, type StepNumbers } from "./optimizer.ts";
import { type StateTensor, stateTensor } from "./training-state.ts";

export interface UpdaterOptions {
  readonly optimizer: Bound<Optimizer>;
  /** Which parameters decay. */
  readonly decays: (parameter: Parameter) => boolean;
  /** Largest global norm of the gradients; 0: no bound. */
  readonly clip: number;
  readonly stateDtype?: "f32" | "bf16";
  /** Learning rate of a parameter, times that of the step; 1 when left out. */
  readonly rateOf?: ((parameter: Parameter) => number) | undefined;
  /** The largest learning rate, where weight decay is to be that times the schedule alone. */
  readonly independentOf?: number | undefined;
}

/** Throws TypeError where an optimizer leaves a param of its kernel without a number. */
function expectNumbers({ name }: Optimizer, params: StepNumbers): StepNumbers {
  const missing = Object.keys(params).find((param) => typeof params[param] !== "number");
  if (missing !== undefined)
    throw new TypeError(
      `optimizer ${name}: ${missing} has no value; is every option that fixed() and numbers() read declared in options?`,
    );
  return params;
}

/** How one parameter is updated. */
interface Way {
  readonly bound: Bound<Optimizer>;
  /** Times the learning rate. */
  readonly rate: number;
  /** Parameters of one key take the same numbers. */
  readonly key: string;
  readonly decays: boolean;
}

/** A parameter's states. */
interface Held {
  readonly way: Way;
  readonly states: ReadonlyMap<
    string,
    { readonly memory: PooledBuffer; readonly shape: readonly number[]; readonly dtype: "f32" | "bf16" }
  >;
}

/** Where a parameter's update is recorded. */
interface Place {
  readonly rec: Recorder;
  readonly clip: Tensor;
  readonly gradient: Tensor;
  readonly index: number;
  /** Of parameters. */
  readonly count: number;
}

/** Throws UserError where decay is to be apart from the rate, and is a part of the gradient. */
function wayOf({ optimizer, decays, rateOf, independentOf }: UpdaterOptions, parameter: Parameter): Way {
  const { method, values } = optimizer;
  const other = method.instead?.(parameter, values);
  const bound = other?.bound ?? optimizer;
  if (independentOf !== undefined && bound.method.decaysByGradient)
    throw new UserError(
      `--independent-decay: the decay of ${bound.method.name} is a part of the gradient, which the rate multiplies`,
      "leave it out, or take adamw",
    );
  const rate = (other?.rate ?? 1) * (rateOf?.(parameter) ?? 1);
  return { bound, rate, key: `${bound.method.name} x${rate}`, decays: decays(parameter) };
}

/** Zeroed states. Throws UserError for a rule whose states are asked for in bf16. */
function makeStates(gpu: Gpu, parameter: Parameter, way: Way, dtype: "f32" | "bf16"): Held {
  const { method, values } = way.bound;
  if (method.rule && dtype === "bf16")
    throw new UserError(`--state-dtype bf16: the states of ${method.name} are f32`, "leave it out");
  const shapes =
    method.rule?.states(parameter, values) ??
    Object.fromEntries((method.states ?? []).map((name) => [name, parameter.shape]));
  const states = new Map(
    Object.entries(shapes).map(([name, shape]) => {
      const bytes = Math.max(16, bytesOf(sizeOf(shape), dtype));
      const memory = gpu.buffer(bytes, `${name} of ${parameter.name}`);
      gpu.clear(memory.buffer, Math.ceil(bytes / 4) * 4);
      return [name, { memory, shape, dtype }] as const;
    }),
  );
  return { way, states };
}

const changingOf = ({ method, values }: Bound<Optimizer>): string[] =>
  Object.keys(expectNumbers(method, method.numbers(values, { t: 1, lr: 0, decay: 0 })));

const stateOf = (rec: Recorder, { name }: Parameter, { states }: Held): Record<string, Tensor> =>
  Object.fromEntries(
    [...states].map(([state, { memory, shape, dtype }]) => [
      state,
      rec.state(`${state} of ${name}`, shape, memory.buffer, dtype),
    ]),
  );

/** Records the optimizer's kernel, some values at a time where an adapter binds no more. */
function recordKernel({ rec, clip, gradient, index, count }: Place, parameter: Parameter, way: Way, own: Held): void {
  const { method, values } = way.bound;
  const weight = rec.state(parameter.name, parameter.shape, parameter.buffer, parameter.dtype);
  const held = { gradient, weight, ...stateOf(rec, parameter, own) };
  const isBf16 = [...own.states.values()].some(({ dtype }) => dtype === "bf16");
  for (const { index: part, count: size, of } of stretches(rec, parameter.size))
    rec.step({
      kernel: method.kernel!,
      flags: [...(parameter.dtype === "bf16" ? ["weight_bf16"] : []), ...(isBf16 ? ["state_bf16"] : [])],
      bind: { clip, ...Object.fromEntries(Object.entries(held).map(([name, x]) => [name, of(x)])) },
      params: {
        n4: Math.ceil(size / 4),
        ...expectNumbers(method, method.fixed(values)),
        ...dynamicParams(way.key, changingOf(way.bound), way.decays),
        key: index + part * count,
        seed: dynamic("seed"),
      },
      groups: spanGroups(Math.ceil(size / 4)),
    });
}

/**
 * Records the optimizer's rule; what it gives is stored by kernels that leave everything alone where the gradients are
 * not finite. Throws UserError for a parameter that the adapter does not bind at once.
 */
function recordRule({ rec, clip, gradient, index }: Place, parameter: Parameter, way: Way, own: Held): void {
  const { method, values } = way.bound;
  const { shape, size, dtype } = parameter;
  if (stretches(rec, size).length > 1)
    throw new UserError(
      `--optimizer ${method.name}: ${parameter.name} is larger than this adapter binds at once`,
      "take adamw, or freeze it",
    );
  const n4 = Math.ceil(size / 4);
  const weight = rec.state(parameter.name, shape, parameter.buffer, dtype);
  const flags = dtype === "bf16" ? ["weight_bf16"] : [];
  const clipped = rec.scratch(shape, `clipped gradient of ${parameter.name}`);
  rec.step({
    kernel: "train/clip-gradient",
    bind: { gradient, clip, clipped },
    params: { n4 },
    groups: spanGroups(n4),
  });
  const states = stateOf(rec, parameter, own);
  const found = method.rule!.record(rec, {
    gradient: clipped,
    weight() {
      const read = rec.scratch(shape, `${parameter.name} in f32`);
      rec.step({
        kernel: "train/read-weight",
        flags,
        bind: { weight, values: read },
        params: { n4 },
        groups: spanGroups(n4),
      });
      return read;
    },
    states,
    number: (name) => dynamic(numberName(way.key, name, way.decays)),
    values,
  });
  for (const [name, value] of Object.entries(found.states)) {
    const count = Math.ceil(sizeOf(value.shape) / 4);
    const bind = { clip, value, state: states[name]! };
    rec.step({ kernel: "train/keep-state", bind, params: { n4: count }, groups: spanGroups(count) });
  }
  rec.step({
    kernel: "train/apply-update",
    flags,
    bind: { clip, update: found.update, weight },
    params: {
      n4,
      ...dynamicParams(way.key, ["shrink", "rate"], way.decays),
      key: index,
      seed: dynamic("seed"),
    },
    groups: spanGroups(n4),
  });
}

export class Updater {
  readonly #gpu: Gpu;
  readonly #options: UpdaterOptions;
  readonly #program: Program;
  readonly #states: ReadonlyMap<Parameter, Held>;
  readonly #clip: PooledBuffer;
  readonly #ranges: RecordedNorm["ranges"];

  private constructor(
    gpu: Gpu,
    options: UpdaterOptions,
    program: Program,
    states: ReadonlyMap<Parameter, Held>,
    clip: PooledBuffer,
    ranges: RecordedNorm["ranges"],
  ) {
    this.#gpu = gpu;
    this.#options = options;
    this.#program = program;
    this.#states = states;
    this.#clip = clip;
    this.#ranges = ranges;
  }

  /** Makes zeroed states and the program. The parameters' gradients are made here too. */
  static async make(gpu: Gpu, parameters: readonly Parameter[], options: UpdaterOptions): Promise<Updater> {
    const rec = new Recorder(profileOf(gpu), { training: false });
    const clipMemory = gpu.upload(new Float32Array(4), "clip");
    const clip = rec.state("clip", [3], clipMemory.buffer);
    const gradients = parameters.map(({ name, shape, gradient }) => rec.state(`gradient of ${name}`, shape, gradient));
    const { sums, ranges } = recordGradientNorm(rec, gradients, clip, dynamic("limit"));
    const states = new Map<Parameter, Held>();
    for (const [index, parameter] of parameters.entries()) {
      const ways = wayOf(options, parameter);
      const own = makeStates(gpu, parameter, ways, options.stateDtype ?? "f32");
      states.set(parameter, own);
      const place = { rec, clip, gradient: gradients[index]!, index, count: parameters.length };
      if (ways.bound.method.rule) recordRule(place, parameter, ways, own);
      else recordKernel(place, parameter, ways, own);
    }
    rec.output("sums", sums);
    return new Updater(gpu, options, await Program.compile(gpu, rec), states, clipMemory, ranges);
  }

  /** Bytes of the states, and of what rules work in. */
  get bytes(): number {
    let { bytes } = this.#program.plan;
    for (const { states } of this.#states.values()) for (const { memory } of states.values()) bytes += memory.bytes;
    return bytes;
  }

  /**
   * Records step `t` (from 1). Resolves later to the global norm of the gradients before clipping. When it is not
   * finite nothing is updated, now or in the steps after.
   */
  step(t: number, lr: number, seed: number): Promise<number> {
    const numbers: Record<string, number> = { limit: this.#options.clip, seed: (seed + t) >>> 0 };
    for (const way of new Map([...this.#states.values()].map(({ way }) => [way.key, way])).values()) {
      const { method, values } = way.bound;
      const { weight_decay = 0 } = values as { weight_decay?: number };
      // Kernels multiply decay by the rate.
      const decay = weight_decay / (this.#options.independentOf ? this.#options.independentOf * way.rate : 1);
      for (const decays of [true, false]) {
        const given = { t, lr: lr * way.rate, decay: decays ? decay : 0 };
        const found = expectNumbers(method, method.numbers(values, given));
        for (const [name, value] of Object.entries(found)) numbers[numberName(way.key, name, decays)] = value;
      }
    }
    const needed = this.#program.dynamicNames;
    this.#program.run(Object.fromEntries(needed.map((name) => [name, numbers[name]!])));
    return this.#gpu.readFloats(this.#clip.buffer, 1).then(([norm]) => norm!);
  }

  /** Names and norms of the gradients of the last step, largest first, those that are not finite before all others. */
  async largest(count: number): Promise<{ name: string; norm: number }[]> {
    const sums = await this.#program.read("sums");
    const norms = [...this.#states.keys()].map(({ name }, index) => {
      const { start, count } = this.#ranges[index]!;
      let square = 0;
      for (let i = 0; i < count; i++) square += sums[start + i]!;
      return { name, norm: Math.sqrt(square) };
    });
    const rank = ({ norm }: { norm: number }) => (Number.isFinite(norm) ? norm : Number.POSITIVE_INFINITY);
    return norms.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(b) - rank(a))).slice(0, count);
  }

  /** A name for every parameter that no other has: two models may be trained at once. */
  names(): ReadonlyMap<Parameter, string> {
    const taken = new Map<string, number>();
    const names = new Map<Parameter, string>();
    for (const parameter of this.#states.keys()) {
      const count = (taken.get(parameter.name) ?? 0) + 1;
      taken.set(parameter.name, count);
      names.set(parameter, count === 1 ? parameter.name : `${parameter.name}#${count}`);
    }
    return names;
  }

  /** The optimizer's states, each named `<parameter>.<state>`. */
  states(): StateTensor[] {
    const names = this.names();
    return [...this.#states].flatMap(([parameter, { way, states }]) =>
      [...states].map(([state, { memory, shape, dtype }]) => {
        const name = `${names.get(parameter)}.${way.bound.method.savedAs?.[state] ?? state}`;
        return stateTensor(name, { shape, size: sizeOf(shape) }, memory.buffer, dtype);
      }),
    );
  }

  free(): void {
    this.#program.free();
    this.#clip.free();
    for (const { states } of this.#states.values()) for (const { memory } of states.values()) memory.free();
  }
}
