/**
 * Inputs that are not finite, where the result may not show it: a method that compares, trims or elects can drop a NaN.
 * A kernel looks at the chunks that lie on the device for the output, so nothing is read for it. Weighted sums need no
 * look: what is not finite in an input is not finite in their result.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { inFlag, type OperandDtype } from "../../tensor/load.ts";
import type { Chunk } from "./chunks.ts";
import { entriesOf, type MergeTask } from "./task.ts";

/** One word per input of every tensor on the device. */
export class InputWatch {
  readonly #gpu: Gpu;
  readonly #words: PooledBuffer;
  readonly #first = new Map<string, number>();
  readonly #count: number;
  #looked = false;

  constructor(gpu: Gpu, tasks: readonly MergeTask[]) {
    this.#gpu = gpu;
    let count = 0;
    for (const task of tasks) {
      this.#first.set(task.name, count);
      count += entriesOf(task).length;
    }
    this.#count = Math.max(1, count);
    this.#words = gpu.buffer(4 * this.#count, "inputs that are not finite");
    gpu.clear(this.#words.buffer, 4 * this.#count);
  }

  /** Records the look at a chunk of a tensor's inputs. */
  async look(name: string, chunk: Chunk, slots: number, dtype: OperandDtype): Promise<void> {
    this.#looked = true;
    this.#gpu.run(await this.#gpu.kernel("merge/not-finite", { flags: inFlag(dtype) }), {
      bind: { stack: chunk.stack, found: this.#words.buffer },
      params: { n4: chunk.n4, pitch: chunk.pitch, slots, at: this.#first.get(name)! },
      groups: spanGroups(chunk.n4),
    });
  }

  /** Whether an input of a tensor, the base first, has such a value. Waits for the device, once. */
  async found(): Promise<(name: string, slot: number) => boolean> {
    const words = this.#looked ? await this.#gpu.readWords(this.#words.buffer, this.#count) : undefined;
    this.#words.free();
    return (name, slot) => words?.[this.#first.get(name)! + slot] === 1;
  }
}
