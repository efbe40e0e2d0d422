/**
 * The second half of a training step: global norm, clipping, and every parameter's update, as one program that never
 * waits.
 *
 * Memory: the optimizer's states, f32 or bf16, each as large as the trained parameters or as its rule says, and what
 * the largest parameter's rule works in.
 */

import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedUnits } from "../../keyed-random.ts";
import { statePages } from "../../tensor/paging/page-tensors.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { dynamic, Recorder } from "../../tensor/recorder.ts";
import { SlotPool } from "../../tensor/slots.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import type { CurvatureOptions } from "./curvature.ts";
import { type RecordedNorm, recordGradientNorm, type SummedGradient } from "./gradient-norm.ts";
import { numberName } from "./optimizer.ts";
import { expectNumbers, type Held, holdStates, type UpdaterOptions, type Way, wholeState } from "./optimizer-states.ts";
import { recordMeasured, recordRefresh, recordUpdate, type UpdatePlace } from "./recorded-update.ts";
import { type PagedState, pagedState, type StateTensor, stateTensor } from "./training-state.ts";

export type { UpdaterOptions } from "./optimizer-states.ts";

type HeldStates = ReadonlyMap<Parameter, Held>;

/** The programs of an update. */
interface Programs {
  readonly update: Program;
  /** Of optimizers that choose something from the gradient every so many steps. */
  readonly refresh: Program | undefined;
  /** Of optimizers whose weights are measured elsewhere than where they are trained. */
  readonly measured: Program | undefined;
}

/** Steps between two times that an optimizer chooses anew; 0: never. */
const everyOf = ({ bound: { method, values } }: Way): number => method.refresh?.every(values) ?? 0;

/** Whether something is due before step `t`. */
const isDue = (every: number, t: number): boolean => every > 0 && (t - 1) % every === 0;

/** The gradient of a parameter in a recording. */
function gradientOf(rec: Recorder, parameter: Parameter): Exclude<SummedGradient, Tensor> {
  const { gradientPages, name, shape, parts } = parameter;
  if (gradientPages) return { pages: statePages(rec, gradientPages, shape) };
  return { whole: rec.state(`gradient of ${name}`, shape, parameter.gradient), parts };
}

export class Updater {
  readonly #gpu: Gpu;
  readonly #options: UpdaterOptions;
  readonly #programs: Programs;
  readonly #slots: SlotPool;
  readonly #states: HeldStates;
  readonly #clip: PooledBuffer;
  readonly #ranges: RecordedNorm["ranges"];
  #measuring = false;

  private constructor(
    gpu: Gpu,
    options: UpdaterOptions,
    programs: Programs,
    slots: SlotPool,
    states: HeldStates,
    clip: PooledBuffer,
    ranges: RecordedNorm["ranges"],
  ) {
    this.#gpu = gpu;
    this.#options = options;
    this.#programs = programs;
    this.#slots = slots;
    this.#states = states;
    this.#clip = clip;
    this.#ranges = ranges;
  }

  /** Makes zeroed states and the programs. The parameters' gradients are made here too. */
  static async make(gpu: Gpu, parameters: readonly Parameter[], options: UpdaterOptions): Promise<Updater> {
    const clipMemory = gpu.upload(new Float32Array(4), "clip");
    const states = holdStates(gpu, parameters, options);
    const slots = new SlotPool(gpu);
    const begin = () => {
      const rec = new Recorder(profileOf(gpu), { training: false });
      const clip = rec.state("clip", [3], clipMemory.buffer);
      const gradients = parameters.map((parameter) => gradientOf(rec, parameter));
      return { rec, clip, gradients };
    };
    type Begun = ReturnType<typeof begin>;
    const each = (
      { rec, clip, gradients }: Begun,
      record: (place: UpdatePlace, parameter: Parameter, held: Held) => void,
    ) => {
      for (const [index, parameter] of parameters.entries()) {
        const given = gradients[index]!;
        const own = "pages" in given ? { gradient: given.pages[0]!, pages: given.pages } : { gradient: given.whole };
        record({ rec, clip, ...own, index, count: parameters.length }, parameter, states.get(parameter)!);
      }
    };
    const normOf = ({ rec, gradients, clip }: Begun) => recordGradientNorm(rec, gradients, clip, dynamic("limit"));
    /** A program over the parameters whose optimizers have something more to do. */
    const more = async (has: (way: Way) => boolean, record: typeof recordUpdate, isNormed: boolean) => {
      if (![...states.values()].some(({ way }) => has(way))) return undefined;
      const begun = begin();
      if (isNormed) normOf(begun);
      each(begun, (place, parameter, held) => (has(held.way) ? record(place, parameter, held) : undefined));
      return Program.compile(gpu, begun.rec, slots);
    };
    const begun = begin();
    const { sums, ranges } = normOf(begun);
    each(begun, recordUpdate);
    begun.rec.output("sums", sums);
    const update = await Program.compile(gpu, begun.rec, slots);
    const refresh = await more(({ bound }) => bound.method.refresh?.record !== undefined, recordRefresh, true);
    const measured = await more(({ bound }) => bound.method.measured !== undefined, recordMeasured, false);
    return new Updater(gpu, options, { update, refresh, measured }, slots, states, clipMemory, ranges);
  }

  /** What is held on the device, each once. */
  get #held() {
    return [...this.#states.values()]
      .filter(({ shared }) => !shared)
      .flatMap(({ states }) => [...states.values()].flatMap(({ memory }) => ("list" in memory ? [] : [memory])));
  }

  /** Bytes of the states, and of what rules work in. */
  get bytes(): number {
    return this.#held.reduce((sum, { bytes }) => sum + bytes, this.#slots.bytes);
  }

  /** Does step `t` (from 1), as `begin`, and resolves to the norm. */
  async step(t: number, lr: number, seed: number): Promise<number> {
    return (await this.begin(t, lr, seed)).norm;
  }

  /**
   * Records step `t` (from 1). `norm` resolves later to the global norm of the gradients before clipping. When it is
   * not finite nothing is updated, now or in the steps after.
   */
  async begin(t: number, lr: number, seed: number): Promise<{ readonly norm: Promise<number> }> {
    const numbers: Record<string, number> = { limit: this.#options.clip, seed: (seed + t) >>> 0 };
    for (const way of new Map([...this.#states.values()].map(({ way }) => [way.key, way])).values()) {
      const { method, values } = way.bound;
      const { weight_decay = 0 } = values as { weight_decay?: number };
      // Kernels multiply decay by the rate.
      const decay = weight_decay / (this.#options.independentOf ? this.#options.independentOf * way.rate : 1);
      for (const decays of [true, false]) {
        const given = { t, lr: lr * way.rate, decay: decays ? decay : 0, turn: way.turn };
        const found = expectNumbers(method, method.numbers(values, given));
        for (const [name, value] of Object.entries(found)) numbers[numberName(way.key, name, decays)] = value;
      }
    }
    this.#refresh(t, seed, numbers.limit!);
    const needed = this.#programs.update.dynamicNames;
    await this.#programs.update.start(Object.fromEntries(needed.map((name) => [name, numbers[name]!])));
    return { norm: this.#gpu.readFloats(this.#clip.buffer, 1).then(([norm]) => norm!) };
  }

  /** Lets steps change weights again after one whose norm was not finite. */
  goOn(): void {
    this.#gpu.write(this.#clip.buffer, 8, new Uint8Array(4));
  }

  /** Chooses anew what optimizers choose every so many steps, where step `t` is one of those. */
  #refresh(t: number, seed: number, limit: number): void {
    let due = false;
    for (const [parameter, { way, states, shared }] of this.#states) {
      const { method, values } = way.bound;
      const every = everyOf(way);
      if (shared || !isDue(every, t)) continue;
      due = true;
      const unit = keyedUnits(seed, `${method.name} ${parameter.name} ${(t - 1) / every}`);
      for (const [name, filled] of Object.entries(method.refresh?.fill?.(parameter, values, unit) ?? {}))
        this.#gpu.write(
          wholeState(states.get(name)!),
          0,
          new Uint8Array(filled.buffer, filled.byteOffset, filled.byteLength),
        );
    }
    if (due) this.#programs.refresh?.run({ limit });
  }

  /**
   * Does `run` with the weights that are to be measured or saved in the place of those that are trained, which lie in
   * the gradients' memory meanwhile. A `run` inside of another changes nothing.
   */
  async measured<T>(run: () => Promise<T>): Promise<T> {
    const { measured } = this.#programs;
    if (!measured || this.#measuring) return run();
    const swapped = [...this.#states]
      .filter(([, { way }]) => way.bound.method.measured)
      .map(([parameter]) => parameter);
    for (const { buffer, gradient, bytes } of swapped) this.#gpu.copy(buffer, 0, gradient, 0, Math.ceil(bytes / 4) * 4);
    this.#measuring = true;
    measured.run();
    try {
      return await run();
    } finally {
      for (const { buffer, gradient, bytes } of swapped)
        this.#gpu.copy(gradient, 0, buffer, 0, Math.ceil(bytes / 4) * 4);
      this.#measuring = false;
    }
  }

  /** Of an optimizer with a state of curvatures: where they lie, and how they are made. */
  get curvature(): CurvatureOptions | undefined {
    const { method, values } = this.#options.optimizer;
    if (!method.curvature) return undefined;
    const { state, every, distance, keep } = method.curvature;
    const held = new Map<Parameter, GPUBuffer>();
    for (const [parameter, { states }] of this.#states) {
      const own = states.get(state);
      if (own) held.set(parameter, wholeState(own));
    }
    return { held, every: every(values), distance: distance(values), keep: keep(values) };
  }

  /** After the last step: the weights are those that are measured, for good. */
  finish(): void {
    this.#programs.measured?.run();
  }

  /** Names and norms of the gradients of the last step, largest first, those that are not finite before all others. */
  async largest(count: number): Promise<{ name: string; norm: number }[]> {
    const sums = await this.#programs.update.read("sums");
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

  /** The optimizer's states that lie on the device, each named `<parameter>.<state>`. */
  states(): StateTensor[] {
    return this.allStates().flatMap((state) => ("buffer" in state ? [state] : []));
  }

  /** As `states`, with those in pages. */
  allStates(): (StateTensor | PagedState)[] {
    const names = this.names();
    return [...this.#states].flatMap(([parameter, { way, states, shared }]) =>
      [...(shared ? [] : states)].map(([state, { memory, shape, dtype }]) => {
        const name = `${names.get(parameter)}.${way.bound.method.savedAs?.[state] ?? state}`;
        const sizes = { shape, size: sizeOf(shape) };
        return "list" in memory
          ? pagedState(name, sizes, memory, dtype)
          : stateTensor(name, sizes, memory.buffer, dtype);
      }),
    );
  }

  free(): void {
    for (const program of Object.values(this.#programs)) program?.free();
    this.#slots.free();
    this.#clip.free();
    for (const memory of this.#held) memory.free();
  }
}
