/**
 * Compiled programs by key: one for each shape of batch, recorded and compiled when it is first asked for. They run
 * one after the other, so that they share the memory of their activations.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { Program, profileOf } from "../tensor/program.ts";
import { Recorder, type RecorderOptions } from "../tensor/recorder.ts";
import { SlotPool } from "../tensor/slots.ts";

/** A program, and what its recording gave. */
export interface Compiled<T = void> {
  readonly program: Program;
  readonly recorded: T;
}

export interface ProgramsOptions {
  /** Whether the recordings keep a tape to go back; false when left out. */
  readonly training?: boolean;
  /** Whether they keep one in evaluation, for gradients to inputs; false when left out. */
  readonly toInputs?: boolean;
  /** Memory of activations that belongs to someone else; the programs' own when left out. */
  readonly slots?: SlotPool | undefined;
}

/**
 * A cache of programs that owns them, and their memory unless it was given.
 *
 *   const programs = new Programs(model.gpu);
 *   const { program } = await programs.get(batchKey(batch), (rec) => {
 *     rec.output("hidden", model.record(rec, recordInputs(rec, batch)).hidden);
 *   });
 *   fillInputs(program, batch);
 *   program.run();
 *   const hidden = await program.read("hidden");
 *   programs.free();
 *
 * `T` is what a recording gives beside its steps (names of outputs, counts), kept with the program.
 */
export class Programs<T = void> {
  readonly slots: SlotPool;
  readonly #gpu: Gpu;
  readonly #tape: RecorderOptions;
  readonly #ownsSlots: boolean;
  readonly #compiled = new Map<string, Compiled<T>>();
  readonly #compiling = new Map<string, Promise<Compiled<T>>>();

  constructor(gpu: Gpu, { training = false, toInputs = false, slots }: ProgramsOptions = {}) {
    this.#gpu = gpu;
    this.#tape = { training, toInputs };
    this.slots = slots ?? new SlotPool(gpu);
    this.#ownsSlots = slots === undefined;
  }

  /** The program of a key. `record` runs only when there is none yet. */
  async get(key: string, record: (rec: Recorder) => T): Promise<Compiled<T>> {
    const known = this.#compiled.get(key);
    if (known) return known;
    const compiling = this.#compiling.get(key);
    if (compiling) return compiling;
    const rec = new Recorder(profileOf(this.#gpu), this.#tape);
    const made = this.#compile(key, rec, record(rec));
    this.#compiling.set(key, made);
    return made;
  }

  async #compile(key: string, rec: Recorder, recorded: T): Promise<Compiled<T>> {
    try {
      const compiled = { program: await Program.compile(this.#gpu, rec, this.slots), recorded };
      this.#compiled.set(key, compiled);
      return compiled;
    } finally {
      this.#compiling.delete(key);
    }
  }

  /** Bytes of inputs, outputs and constants of all programs; activations are in `slots`. */
  get ownBytes(): number {
    return [...this.#compiled.values()].reduce((sum, { program }) => sum + program.ownBytes, 0);
  }

  /** Frees the programs, and their memory where it is their own. None may be compiling. */
  free(): void {
    if (this.#compiling.size > 0) throw new Error("a program is still being compiled");
    for (const { program } of this.#compiled.values()) program.free();
    this.#compiled.clear();
    if (this.#ownsSlots) this.slots.free();
  }
}
