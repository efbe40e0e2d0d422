/**
 * A model that reads rows one block after the other: what the linear layers of a block read is measured, its weights
 * may then change, and what it gives goes to the next. So each block is measured behind blocks that are changed
 * already, and a model whose layers lie on the disk (`offload`) has one block in memory.
 *
 * Host memory: the hidden states of all rows, f32. GPU memory: a block, a batch, the block's Gram matrices.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Model } from "../../model/model.ts";
import { abs } from "../../tensor/ops/elementwise.ts";
import { expertSums } from "../../tensor/ops/moe.ts";
import { columnMaxima, columnSums } from "../../tensor/ops/reduce.ts";
import type { RoutePlan } from "../../tensor/ops/router.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { GramMatrices, maskOf, type Observe, observeGrams } from "../gram/gram-matrices.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";

/** What a matrix of the checkpoint reads of n tokens; of an expert, of those that it was given. */
export interface MatrixInputs {
  readonly columns: number;
  /** X^T X / n (columns, columns), f32, in memory of its own. */
  readonly gram: PooledBuffer;
  /** Mean magnitude of each input. */
  readonly magnitudes: Float32Array;
  /** Largest magnitude of each input; of experts not measured. */
  readonly largest?: Float32Array;
}

/** Sums of magnitudes by module, (parts, width). */
interface Magnitudes {
  readonly width: number;
  readonly parts: number;
  readonly memory: PooledBuffer;
  /** Largest magnitudes (width); none of experts. */
  readonly largest?: PooledBuffer;
}

const freeMagnitudes = (all: ReadonlyMap<string, Magnitudes>): void => {
  for (const { memory, largest } of all.values()) {
    memory.free();
    largest?.free();
  }
};

/** The hidden states that a block reads, as architectures note them. */
const noteOf = (layer: number): string => `hidden.${layer}`;

export class BlockPasses {
  readonly #model: Model;
  readonly #batches: readonly Batch[];
  readonly #signal: AbortSignal;
  /** What the next block reads, by batch; undefined before the first. */
  #states: Float32Array[] | undefined;
  #next = 0;

  constructor(model: Model, batches: readonly Batch[], signal: AbortSignal) {
    this.#model = model;
    this.#batches = batches;
    this.#signal = signal;
  }

  /** Bytes of hidden states on the host. */
  static hostBytes(batches: readonly Batch[], width: number): number {
    return batches.reduce((sum, { rows, length }) => sum + 4 * rows * length * width, 0);
  }

  /** What modules of the next block read, with its weights as they are now. `using` gives the memory back. */
  async measure(only: (module: string) => boolean): Promise<BlockInputs> {
    const grams = new GramMatrices(this.#model);
    const sums = new Map<string, Magnitudes>();
    const aliases = new Map<string, string>();
    try {
      await this.#run((rec, batch) => this.#observe(rec, batch, { grams, sums, aliases, only }));
      for (const batch of this.#batches) grams.count(batch);
      return new BlockInputs(this.#model, grams, sums, aliases);
    } catch (error) {
      grams[Symbol.dispose]();
      freeMagnitudes(sums);
      throw error;
    }
  }

  /** Runs the block with its weights as they are now, and goes on to the next. */
  async advance(): Promise<void> {
    const after: Float32Array[] = [];
    await this.#run(undefined, after);
    this.#states = after;
    this.#next++;
  }

  #observe(
    rec: Recorder,
    batch: Batch,
    {
      grams,
      sums,
      aliases,
      only,
    }: {
      readonly grams: GramMatrices;
      readonly sums: Map<string, Magnitudes>;
      readonly aliases: Map<string, string>;
      readonly only: (module: string) => boolean;
    },
  ): Observe {
    const readers = new Map<Tensor, string>();
    const hear = observeGrams(rec, grams, batch, only, (module, kept, plan) =>
      this.#addMagnitudes(rec, sums, module, kept, plan),
    );
    return (module, x, plan) => {
      hear(module, x, plan);
      if (!only(module)) return;
      aliases.set(module, readers.get(x) ?? module);
      if (!readers.has(x)) readers.set(x, module);
    };
  }

  #addMagnitudes(rec: Recorder, all: Map<string, Magnitudes>, module: string, kept: Tensor, plan?: RoutePlan): void {
    const { gpu } = this.#model;
    const { rows, width } = rowsOf(kept);
    let own = all.get(module);
    if (!own) {
      const parts = plan?.experts ?? 1;
      const zeroed = (count: number, label: string): PooledBuffer => {
        const memory = gpu.buffer(Math.max(16, 4 * count), `${label} magnitudes of what ${module} reads`);
        gpu.clear(memory.buffer, Math.max(16, 4 * count));
        return memory;
      };
      const largest = plan ? {} : { largest: zeroed(width, "largest") };
      own = { width, parts, memory: zeroed(parts * width, "sums of"), ...largest };
      all.set(module, own);
    }
    const into = rec.state(`magnitudes of ${module}`, [own.parts, width], own.memory.buffer);
    const sizes = abs(rec, kept);
    if (own.largest) {
      const flat = rec.reshape(sizes, [rows, width]);
      columnSums(rec, flat, { into: rec.reshape(into, [width]), accumulate: 1 });
      const most = rec.state(`largest magnitudes of ${module}`, [width], own.largest.buffer);
      columnMaxima(rec, flat, { into: most, accumulate: 1 });
    }
    if (!plan) return;
    const ones = rec.constant(new Float32Array(rows).fill(1), [rows, 1], "ones");
    expertSums(rec, ones, sizes, plan, { into, accumulate: 1 });
  }

  /** Runs every batch through the next block. With `after` its results are added to the list. */
  async #run(observe: ((rec: Recorder, batch: Batch) => Observe) | undefined, after?: Float32Array[]): Promise<void> {
    const model = this.#model;
    const layer = this.#next;
    const { key } = crossEntropyObjective(model);
    const programs = new Programs(model.gpu);
    try {
      for (const [i, batch] of this.#batches.entries()) {
        this.#signal.throwIfAborted();
        const { program } = await programs.get(key(batch), (rec) => {
          const heard = observe?.(rec, batch);
          const replace = (name: string, x: Tensor) =>
            layer > 0 && name === noteOf(layer) ? rec.input("state", x.shape) : x;
          const { notes } = model.record(rec, recordInputs(rec, batch), {
            replace,
            ...(heard ? { observe: heard } : {}),
          });
          const given = notes.get(noteOf(layer + 1));
          if (!given)
            throw new UserError(
              `${model.architecture.name} has no blocks that run one by one`,
              "leave out --calibration",
            );
          rec.output("state after", given);
        });
        if (model.gpu.dry) continue; // a plan: memory is taken, nothing runs
        fillInputs(program, batch);
        const mask = maskOf(batch);
        if (mask && program.takes("mask")) program.write("mask", mask);
        const state = this.#states?.[i];
        if (state) program.write("state", state);
        await program.start();
        const result = await program.read("state after");
        const odd = result.findIndex((x) => !Number.isFinite(x));
        if (odd >= 0)
          throw new UserError(
            `what block ${layer} gives for batch ${i + 1} of --calibration is not finite`,
            "the model's weights are not finite, or these rows are not for it",
            1,
          );
        after?.push(result);
      }
    } finally {
      programs.free();
    }
  }
}

/** What the matrices of one block read. */
export class BlockInputs implements Disposable {
  readonly #model: Model;
  readonly #grams: GramMatrices;
  readonly #sums: ReadonlyMap<string, Magnitudes>;
  readonly #aliases: ReadonlyMap<string, string>;

  constructor(
    model: Model,
    grams: GramMatrices,
    sums: ReadonlyMap<string, Magnitudes>,
    aliases: ReadonlyMap<string, string>,
  ) {
    this.#model = model;
    this.#grams = grams;
    this.#sums = sums;
    this.#aliases = aliases;
  }

  /** Whether one of the modules reads what the first that was heard reads. */
  isFirst(modules: readonly string[]): boolean {
    const [first] = this.#aliases.values();
    return modules.some((module) => this.#aliases.has(module) && this.#aliases.get(module) === first);
  }

  /**
   * Of the first of the modules that was measured, or of one expert of a stack; undefined where none was. The caller
   * frees the matrix.
   */
  async of(modules: readonly string[], part = 0): Promise<MatrixInputs | undefined> {
    const module = modules.find((name) => this.#aliases.has(name));
    const own = module === undefined ? undefined : this.#sums.get(this.#aliases.get(module)!);
    if (module === undefined || !own) return undefined;
    const { gpu } = this.#model;
    const { width } = own;
    const bytes = 4 * width ** 2;
    const gram = gpu.buffer(bytes, `Gram matrix of ${module}`);
    const { share } = this.#grams;
    using sums = gpu.buffer(bytes, `sums of what ${module} reads`);
    gpu.copy(this.#grams.sumsOf(module), part * bytes, sums.buffer, 0, bytes);
    gpu.run(await gpu.kernel("elementwise/unary", { flags: ["affine"] }), {
      bind: { x: sums.buffer, y: gram.buffer },
      params: { count: width ** 2, low: 0, high: share, accumulate: 0 },
      groups: spanGroups(width ** 2),
    });
    const sizes = await gpu.readFloats(own.memory.buffer, width, 4 * part * width);
    const largest = own.largest && (await gpu.readFloats(own.largest.buffer, width));
    return { columns: width, gram, magnitudes: sizes.map((x) => x * share), ...(largest ? { largest } : {}) };
  }

  [Symbol.dispose](): void {
    this.#grams[Symbol.dispose]();
    freeMagnitudes(this.#sums);
  }
}
