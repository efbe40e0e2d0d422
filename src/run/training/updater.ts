/**
 * The second half of a training step: global norm, clipping, and every parameter's update, as one program that never
 * waits.
 *
 * Memory: the optimizer's states, f32 or bf16, each as large as the trained parameters.
 */

import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Bound } from "../../method/bind.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { dynamic, Recorder } from "../../tensor/recorder.ts";
import { stretches } from "../../tensor/stretches.ts";
import { bytesOf } from "../../tensor/tensor.ts";
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

export class Updater {
  readonly #gpu: Gpu;
  readonly #options: UpdaterOptions;
  readonly #program: Program;
  readonly #states: ReadonlyMap<Parameter, ReadonlyMap<string, PooledBuffer>>;
  readonly #clip: PooledBuffer;
  readonly #ranges: RecordedNorm["ranges"];

  private constructor(
    gpu: Gpu,
    options: UpdaterOptions,
    program: Program,
    states: ReadonlyMap<Parameter, ReadonlyMap<string, PooledBuffer>>,
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
    const { stateDtype = "f32" } = options;
    const { method: optimizer, values } = options.optimizer;
    const rec = new Recorder(profileOf(gpu), { training: false });
    const states = new Map<Parameter, Map<string, PooledBuffer>>();
    const clipMemory = gpu.upload(new Float32Array(4), "clip");
    const clip = rec.state("clip", [3], clipMemory.buffer);
    const gradients = parameters.map(({ name, shape, gradient }) => rec.state(`gradient of ${name}`, shape, gradient));
    const { sums, ranges } = recordGradientNorm(rec, gradients, clip, dynamic("limit"));
    const fixed = expectNumbers(optimizer, optimizer.fixed(values));
    const changing = Object.keys(expectNumbers(optimizer, optimizer.numbers(values, { t: 1, lr: 0, decay: 0 })));
    for (const [index, parameter] of parameters.entries()) {
      const own = new Map<string, PooledBuffer>();
      states.set(parameter, own);
      for (const name of optimizer.states) {
        const bytes = Math.max(16, bytesOf(parameter.size, stateDtype));
        const memory = gpu.buffer(bytes, `${name} of ${parameter.name}`);
        own.set(name, memory);
        gpu.clear(memory.buffer, Math.ceil(bytes / 4) * 4);
      }
      const held = {
        gradient: gradients[index]!,
        weight: rec.state(parameter.name, parameter.shape, parameter.buffer, parameter.dtype),
        ...Object.fromEntries(
          [...own].map(([name, { buffer }]) => [
            name,
            rec.state(`${name} of ${parameter.name}`, parameter.shape, buffer, stateDtype),
          ]),
        ),
      };
      for (const { index: part, count, of } of stretches(rec, parameter.size))
        rec.step({
          kernel: optimizer.kernel,
          flags: [
            ...(parameter.dtype === "bf16" ? ["weight_bf16"] : []),
            ...(stateDtype === "bf16" ? ["state_bf16"] : []),
          ],
          bind: { clip, ...Object.fromEntries(Object.entries(held).map(([name, x]) => [name, of(x)])) },
          params: {
            n4: Math.ceil(count / 4),
            ...fixed,
            ...dynamicParams(changing, options.decays(parameter)),
            key: index + part * parameters.length,
            seed: dynamic("seed"),
          },
          groups: spanGroups(Math.ceil(count / 4)),
        });
    }
    rec.output("sums", sums);
    return new Updater(gpu, options, await Program.compile(gpu, rec), states, clipMemory, ranges);
  }

  /** Bytes of the states. */
  get bytes(): number {
    let bytes = 0;
    for (const own of this.#states.values()) for (const memory of own.values()) bytes += memory.bytes;
    return bytes;
  }

  /**
   * Records step `t` (from 1). Resolves later to the global norm of the gradients before clipping. When it is not
   * finite nothing is updated, now or in the steps after.
   */
  step(t: number, lr: number, seed: number): Promise<number> {
    const { optimizer, clip } = this.#options;
    const { method, values } = optimizer;
    const { weight_decay: decay = 0 } = values as { weight_decay?: number };
    const numbers: Record<string, number> = { limit: clip, seed: (seed + t) >>> 0 };
    for (const decays of [true, false]) {
      const found = expectNumbers(method, method.numbers(values, { t, lr, decay: decays ? decay : 0 }));
      for (const [name, value] of Object.entries(found)) numbers[numberName(name, decays)] = value;
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
    const { optimizer, stateDtype = "f32" } = this.#options;
    const { savedAs } = optimizer.method;
    const names = this.names();
    return [...this.#states].flatMap(([parameter, own]) =>
      [...own].map(([state, { buffer }]) =>
        stateTensor(`${names.get(parameter)}.${savedAs?.[state] ?? state}`, parameter, buffer, stateDtype),
      ),
    );
  }

  free(): void {
    this.#program.free();
    this.#clip.free();
    for (const own of this.#states.values()) for (const memory of own.values()) memory.free();
  }
}
