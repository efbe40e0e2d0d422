/**
 * A recording made ready to run: kernels compiled, tensors placed, bind groups and uniforms built once, replayed many
 * times.
 *
 * A run costs the host about a microsecond per step. Numbers that change from run to run (learning rate, seed,
 * whether to accumulate) are `dynamic` params, patched into the uniforms.
 */
import { UserError } from "../errors.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Bound, Gpu, Prepared } from "../gpu/gpu.ts";
import { type Kernel, packParams } from "../gpu/kernel.ts";
import { humanBytes } from "../text/format.ts";
import type { AdapterProfile } from "./adapter-profile.ts";
import { liveSteps, type Plan, planMemory } from "./placement.ts";
import type { Recorder, Step } from "./recorder.ts";
import { SlotPool } from "./slots.ts";
import { sizeOf, type Tensor, tensorBytes } from "./tensor.ts";
import { cutTurns, runTurns, type Turn } from "./turns.ts";

const UNIFORM_SLOT = 256;
const UNIFORM = 0x40;
const COPY_DST = 0x08;

/** What ops may know of an open GPU. */
export function profileOf(gpu: Gpu): AdapterProfile {
  const { subgroupSize, type, limits } = gpu.adapter;
  const most = limits.maxStorageBufferBindingSize;
  return {
    subgroupSize,
    software: type === "cpu",
    discrete: type === "discrete",
    ...(most ? { maxBinding: most } : {}),
  };
}

interface DynamicSlot {
  readonly offset: number;
  readonly type: "u32" | "i32" | "f32";
}

/** Bindings that a kernel writes. */
const writesOf = ({ layout }: Kernel): string[] =>
  layout.bindings.filter(({ access }) => access === "read_write").map(({ name }) => name);

export type HostArray = Float32Array | Int32Array | Uint32Array | Uint16Array;

export class Program {
  readonly plan: Plan;
  /** Steps that run, in order; for reading and profiling. */
  readonly steps: readonly Step[];
  readonly #gpu: Gpu;
  readonly #prepared: Prepared[];
  readonly #own: PooledBuffer[];
  readonly #slots: SlotPool;
  readonly #ownsSlots: boolean;
  readonly #inputs: ReadonlyMap<string, Tensor>;
  readonly #outputs: ReadonlyMap<string, Tensor>;
  readonly #bufferOf: (x: Tensor) => GPUBuffer;
  readonly #uniforms: GPUBuffer;
  readonly #values: Uint8Array<ArrayBuffer>;
  readonly #dynamic: ReadonlyMap<string, readonly DynamicSlot[]>;
  readonly #turns: readonly Turn[];
  #fresh = true;

  private constructor(gpu: Gpu, rec: Recorder, steps: Step[], kernels: Kernel[], slots: SlotPool | undefined) {
    this.#gpu = gpu;
    this.steps = steps;
    this.#inputs = rec.inputs;
    this.#outputs = rec.outputs;
    const kept = new Set([...rec.outputs.values()].map(({ storage }) => storage.id));
    this.plan = planMemory(steps, kept);
    this.#slots = slots ?? new SlotPool(gpu);
    this.#ownsSlots = slots === undefined;
    const places = this.#slots.take(this.plan.slots);

    this.#own = [];
    const owned = new Map<number, GPUBuffer>();
    const own = ({ storage }: Tensor): GPUBuffer => {
      const known = owned.get(storage.id);
      if (known) return known;
      const made = gpu.buffer(storage.bytes, storage.label);
      this.#own.push(made);
      owned.set(storage.id, made.buffer);
      return made.buffer;
    };
    for (const input of rec.inputs.values()) own(input);
    for (const output of rec.outputs.values()) own(output);
    for (const { tensor, data } of rec.constants) {
      gpu.write(own(tensor), 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    this.#bufferOf = (x) => {
      const buffer = x.storage.buffer ?? owned.get(x.storage.id) ?? places[this.plan.slotOf.get(x.storage.id) ?? -1];
      if (!buffer) throw new Error(`${x.label} has no memory: no step uses it`);
      return buffer;
    };

    this.#values = new Uint8Array(UNIFORM_SLOT * Math.max(1, steps.length));
    this.#uniforms = gpu.device.createBuffer({
      label: "program uniforms",
      size: this.#values.byteLength,
      usage: UNIFORM | COPY_DST,
    });
    const dynamics = new Map<string, DynamicSlot[]>();
    this.#prepared = steps.map((step, at) => {
      const kernel = kernels[at]!;
      const { layout } = kernel;
      const offset = at * UNIFORM_SLOT;
      let uniform: Bound | undefined;
      if (layout.paramsSlot !== undefined) {
        const fixed: Record<string, number> = {};
        for (const [name, value] of Object.entries(step.params ?? {})) {
          fixed[name] = typeof value === "number" ? value : 0;
          if (typeof value === "number") continue;
          const param = layout.params.find((candidate) => candidate.name === name);
          if (!param) throw new Error(`${kernel.label}: unknown parameter ${name}`);
          const places = dynamics.get(value.dynamic) ?? [];
          dynamics.set(value.dynamic, places);
          places.push({ offset: offset + param.offset, type: param.type });
        }
        packParams(kernel, fixed, new DataView(this.#values.buffer, offset, UNIFORM_SLOT));
        uniform = { buffer: this.#uniforms, offset, size: layout.paramsBytes };
      }
      const bind = Object.fromEntries(Object.entries(step.bind).map(([name, x]) => [name, this.#bound(x, kernel)]));
      return gpu.prepare(kernel, { ...step, bind }, uniform);
    });
    this.#dynamic = dynamics;
    this.#turns = cutTurns(steps, (_, at) => writesOf(kernels[at]!));
  }

  /** Compiles the kernels and places the tensors. Programs that never run at once may share `slots`. */
  static async compile(gpu: Gpu, rec: Recorder, slots?: SlotPool): Promise<Program> {
    const compile = ({ kernel, flags, constants }: Step) =>
      gpu.kernel(kernel, { ...(flags ? { flags } : {}), ...(constants ? { constants } : {}) });
    const nonEmpty = rec.steps.filter(({ groups }) => !groups?.includes(0));
    const kernels = await Promise.all(nonEmpty.map(compile));
    const kernelOf = new Map(nonEmpty.map((step, i) => [step, kernels[i]!]));
    const writes = (step: Step) => writesOf(kernelOf.get(step)!);
    const outputs = new Set([...rec.outputs.values()].map(({ storage }) => storage.id));
    const steps = liveSteps(nonEmpty, outputs, writes);
    return new Program(
      gpu,
      rec,
      steps,
      steps.map((step) => kernelOf.get(step)!),
      slots,
    );
  }

  #bound(x: Tensor, kernel: Kernel): Bound {
    const buffer = this.#bufferOf(x);
    const bytes = Math.max(16, Math.ceil(tensorBytes(x) / 16) * 16);
    // A view in the middle may end between two vectors: what follows it in the storage is bound along, never beyond.
    const size = Math.min(bytes, buffer.size - x.offset);
    const most = this.#gpu.adapter.limits.maxStorageBufferBindingSize;
    if (most !== undefined && size > most)
      throw new UserError(
        `${x.label} takes ${humanBytes(size)}, and this adapter binds ${humanBytes(most)} at most (${kernel.label})`,
        "use another adapter with --device (bun run doctor lists them), smaller batches, or --dtype bf16",
        1,
      );
    return { buffer, offset: x.offset, size };
  }

  /**
   * Bytes of inputs, outputs and constants; activations are in `plan`, parameters and states belong to their owners.
   */
  get ownBytes(): number {
    return this.#own.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Names of all inputs that were declared. */
  inputNames(): Iterable<string> {
    return this.#inputs.keys();
  }

  /** Whether an input of this name was declared. */
  takes(name: string): boolean {
    return this.#inputs.has(name);
  }

  /** Shape of an input; undefined where none of this name was declared. */
  inputShape(name: string): readonly number[] | undefined {
    return this.#inputs.get(name)?.shape;
  }

  /** Names of the numbers that every run must give. */
  get dynamicNames(): string[] {
    return [...this.#dynamic.keys()];
  }

  /** Fills an input. bf16 inputs take packed 16-bit words. Throws RangeError when the length is wrong. */
  write(name: string, data: HostArray): void {
    const input = this.#inputs.get(name);
    if (!input) throw new RangeError(`the program has no input ${name}; it has ${[...this.#inputs.keys()].join(", ")}`);
    if (data.length !== sizeOf(input.shape))
      throw new RangeError(`input ${name} takes ${sizeOf(input.shape)} values, got ${data.length}`);
    this.#gpu.write(this.#bufferOf(input), 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }

  /** Submits one run. Throws UserError where weights take turns in memory: those come with `start` alone. */
  run(values: Readonly<Record<string, number>> = {}): void {
    if (this.#turns.length > 0)
      throw new UserError(
        "some weights take turns in memory, and this work needs all of them at once",
        "hold them all in memory",
      );
    this.#set(values);
    this.#gpu.replay(this.#prepared);
    this.#gpu.submit();
  }

  /**
   * As `run`, and brings weights into memory as their turn comes. Resolves when all is submitted. The host is at most
   * one turn ahead of the GPU, so that what waits for it stays small.
   */
  async start(values: Readonly<Record<string, number>> = {}): Promise<void> {
    const [first] = this.#turns;
    if (!first) return this.run(values);
    await first.turns.inTurn(() => {
      this.#set(values);
      return runTurns(this.#gpu, this.#turns, values, { prepared: this.#prepared, bufferOf: this.#bufferOf });
    });
  }

  /** Writes the numbers of this run. */
  #set(values: Readonly<Record<string, number>>): void {
    const view = new DataView(this.#values.buffer);
    let changed = this.#fresh;
    for (const [name, slots] of this.#dynamic) {
      const value = values[name];
      if (value === undefined) throw new RangeError(`the program needs a value for ${name}`);
      changed = true;
      for (const { offset, type } of slots) {
        if (type === "f32") view.setFloat32(offset, value, true);
        else if (type === "i32") view.setInt32(offset, value, true);
        else view.setUint32(offset, value >>> 0, true);
      }
    }
    if (changed) this.#gpu.write(this.#uniforms, 0, this.#values);
    this.#fresh = false;
  }

  #output(name: string): Tensor {
    const output = this.#outputs.get(name);
    if (!output)
      throw new RangeError(`the program has no output ${name}; it has ${[...this.#outputs.keys()].join(", ")}`);
    return output;
  }

  /**
   * The f32 values of an output after the last run. The read-back is recorded at once, so later runs do not change
   * it.
   */
  read(name: string): Promise<Float32Array> {
    const output = this.#output(name);
    return this.#gpu.readFloats(this.#bufferOf(output), sizeOf(output.shape), output.offset);
  }

  /** As `read`, for i32 and u32 outputs. */
  readWords(name: string): Promise<Uint32Array> {
    const output = this.#output(name);
    return this.#gpu.readWords(this.#bufferOf(output), sizeOf(output.shape), output.offset);
  }

  /** Where an output lies, for copies on the device. */
  outputBuffer(name: string): { buffer: GPUBuffer; offset: number; shape: readonly number[] } {
    const output = this.#output(name);
    return { buffer: this.#bufferOf(output), offset: output.offset, shape: output.shape };
  }

  free(): void {
    this.#gpu.forget(this.#prepared.splice(0));
    for (const held of this.#own.splice(0)) held.free();
    if (this.#ownsSlots) this.#slots.free();
    this.#uniforms.destroy();
  }
}
