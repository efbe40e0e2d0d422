/** A named weight that lives on the GPU between runs, with its gradient where it is trained. */

import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Offload, OffloadedWeight } from "./offload.ts";
import { bytesOf, type ElementType, type Place, sizeOf } from "./tensor.ts";

export class Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: "f32" | "bf16";
  trainable: boolean;
  /** Whether an optimizer's decay may take off it. */
  decays = true;
  /** Whether it is the matrix of a layer between input and output, as the model's architecture says. */
  isHidden = false;
  /** Of the weight of queries or keys: heads, each of as many rows; as the model's architecture says. */
  heads: number | undefined;
  readonly #gpu: Gpu;
  readonly #memory: PooledBuffer | OffloadedWeight;
  #gradient: PooledBuffer | undefined;

  /** Contents are undefined until `write`. `offload`: it lies on the disk, where nothing trains it. */
  constructor(
    gpu: Gpu,
    name: string,
    shape: readonly number[],
    dtype: "f32" | "bf16" = "f32",
    trainable = true,
    offload?: { readonly to: Offload; readonly kind: string },
  ) {
    this.#gpu = gpu;
    this.name = name;
    this.shape = shape;
    this.dtype = dtype;
    this.trainable = trainable;
    const bytes = Math.max(16, bytesOf(this.size, dtype));
    this.#memory = offload ? offload.to.weight(offload.kind, bytes) : gpu.buffer(bytes, name);
  }

  get size(): number {
    return sizeOf(this.shape);
  }
  get bytes(): number {
    return bytesOf(this.size, this.dtype);
  }
  get buffer(): GPUBuffer {
    return this.#memory.buffer;
  }
  /** Of a weight on the disk: what brings it into the buffer. */
  get offloaded(): OffloadedWeight | undefined {
    return this.#memory instanceof OffloadedWeight ? this.#memory : undefined;
  }
  get place(): Place {
    const { buffer, offloaded } = this;
    return offloaded ? { buffer, offloaded } : { buffer };
  }
  get hasGradient(): boolean {
    return this.#gradient !== undefined;
  }

  /** The f32 gradient, made when first asked for, so that frozen weights cost none. */
  get gradient(): GPUBuffer {
    this.#gradient ??= this.#gpu.buffer(Math.max(16, 4 * this.size), `gradient of ${this.name}`);
    return this.#gradient.buffer;
  }

  /** Sets the values, given as f32 for an f32 parameter and as packed words for a bf16 one. */
  write(values: Float32Array | Uint16Array): void {
    const expected: ElementType = values instanceof Float32Array ? "f32" : "bf16";
    if (expected !== this.dtype || values.length !== this.size) {
      throw new RangeError(`${this.name}: ${values.length} ${expected} values for ${this.size} of ${this.dtype}`);
    }
    this.#gpu.write(this.buffer, 0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  /** Gives the gradient's memory back; it is made anew when it is asked for. */
  freeGradient(): void {
    this.#gradient?.free();
    this.#gradient = undefined;
  }

  free(): void {
    this.#memory.free();
    this.freeGradient();
  }
}
