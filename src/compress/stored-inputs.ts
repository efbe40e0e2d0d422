/** What layers read, from a file of Gram matrices that `evaluate gram` wrote of the model as it is. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { decodeFloats } from "../checkpoint/decode.ts";
import { isFloat } from "../checkpoint/dtype.ts";
import { openPlain } from "../checkpoint/open.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { MatrixInputs } from "../run/calibrating/block-passes.ts";
import { gramName } from "../run/gram/names.ts";
import { showShape, sizeOf } from "../tensor/tensor.ts";
import type { Target } from "./matrices.ts";

export class StoredInputs {
  readonly #file: Checkpoint;

  private constructor(file: Checkpoint) {
    this.#file = file;
  }

  /** Throws UserError unless the file has a matrix for every target. Reads the header. */
  static async open(ref: string, targets: readonly Target[]): Promise<StoredInputs> {
    const file = await openPlain(ref);
    const inputs = new StoredInputs(file);
    try {
      for (const target of targets) inputs.#entry(target);
    } catch (error) {
      file.close();
      throw error;
    }
    return inputs;
  }

  #entry(target: Target) {
    const { stored, columns, parts, inFirst } = target;
    const name = gramName(stored.name, inFirst);
    const found = this.#file.tensors.get(name);
    const shape = stored.shape.length === 3 ? [parts, columns, columns] : [columns, columns];
    if (found && isFloat(found.dtype) && found.shape.join() === shape.join()) return found;
    throw new UserError(
      found
        ? `${this.#file.ref}: ${name} is ${found.dtype} ${showShape(found.shape)}; expected ${showShape(shape)}`
        : `${this.#file.ref} has no ${name}`,
      "measure this model: bun run evaluate gram MODEL --data rows.jsonl -o gram.safetensors",
    );
  }

  /** Of one matrix of a target. Mean magnitudes are not in the file: they are taken as sqrt(H_jj). */
  async of(gpu: Gpu, target: Target, part: number): Promise<MatrixInputs> {
    const { columns } = target;
    const { dtype, bytes, read, shape } = this.#entry(target);
    const one = bytes / (sizeOf(shape) / columns ** 2);
    const stored = new Uint8Array(one);
    await read(stored, part * one);
    const values = decodeFloats(stored, dtype);
    const magnitudes = Float32Array.from({ length: columns }, (_, j) => Math.sqrt(values[j * (columns + 1)]!));
    return { columns, gram: gpu.upload(values, `Gram matrix of ${target.stored.name}`), magnitudes };
  }

  close(): void {
    this.#file.close();
  }
}
