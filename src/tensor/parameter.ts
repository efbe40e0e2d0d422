/** A named weight that lives on the GPU between runs, with its gradient where it is trained. */

import { UserError } from "../errors.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Offload, OffloadedWeight } from "./offload.ts";
import { type Packing, tableWords } from "./packed.ts";
import { bytesOf, type ElementType, type Place, sizeOf } from "./tensor.ts";

/** What lies beside a weight of codes on the GPU. */
interface Codes {
  readonly packing: Packing;
  readonly table: PooledBuffer | undefined;
}

export class Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  trainable: boolean;
  /** Whether an optimizer's decay may take off it. */
  decays = true;
  /** Whether it is the matrix of a layer between input and output, as the model's architecture says. */
  isHidden = false;
  /** Of the weight of queries or keys: heads, each of as many rows; as the model's architecture says. */
  heads: number | undefined;
  readonly #gpu: Gpu;
  readonly #memory: PooledBuffer | OffloadedWeight;
  readonly #dtype: "f32" | "bf16" | undefined;
  readonly #codes: Codes | undefined;
  #gradient: PooledBuffer | undefined;

  /**
   * Contents are undefined until `write`. `offload`: it lies on the disk, where nothing trains it. A packing makes it a
   * weight of codes, which nothing trains either.
   */
  constructor(
    gpu: Gpu,
    name: string,
    shape: readonly number[],
    dtype: "f32" | "bf16" | Packing = "f32",
    trainable = true,
    offload?: { readonly to: Offload; readonly kind: string },
  ) {
    this.#gpu = gpu;
    this.name = name;
    this.shape = shape;
    this.trainable = trainable && typeof dtype === "string";
    if (typeof dtype === "string") this.#dtype = dtype;
    else {
      const words = tableWords(dtype);
      const table = words > 0 ? gpu.buffer(Math.max(16, 4 * words), `table of ${name}`) : undefined;
      this.#codes = { packing: dtype, table };
    }
    const bytes = Math.max(16, this.bytes);
    this.#memory = offload ? offload.to.weight(offload.kind, bytes) : gpu.buffer(bytes, name, !!this.#codes);
  }

  get size(): number {
    return sizeOf(this.shape);
  }
  /** Bytes of its values, or of its codes and scales. */
  get bytes(): number {
    if (!this.#codes) return bytesOf(this.size, this.dtype);
    const { pitch, columns } = this.#codes.packing;
    return (4 * pitch * this.size) / columns;
  }
  /** Of its values. Throws UserError for a weight of codes, as `buffer` does. */
  get dtype(): "f32" | "bf16" {
    return this.#dtype ?? this.#refuse();
  }
  /** Throws UserError for a weight of codes, which no kernel but products reads; see `codes`. */
  get buffer(): GPUBuffer {
    return this.#codes ? this.#refuse() : this.#memory.buffer;
  }
  /** The same for a copy of it. */
  get held(): "f32" | "bf16" | Packing {
    return this.#codes?.packing ?? this.dtype;
  }
  #refuse(): never {
    throw new UserError(
      `${this.name} is held as codes, and its values are asked for`,
      "leave out --load-in, or what reads the weights themselves",
    );
  }
  /** Of a weight of codes: how its rows lie, and where. */
  get codes(): { packing: Packing; rows: GPUBuffer; table: GPUBuffer | undefined } | undefined {
    const codes = this.#codes;
    return codes && { packing: codes.packing, rows: this.#memory.buffer, table: codes.table?.buffer };
  }
  /** Of a weight on the disk: what brings it into the buffer. */
  get offloaded(): OffloadedWeight | undefined {
    return this.#memory instanceof OffloadedWeight ? this.#memory : undefined;
  }
  get place(): Place {
    const { offloaded, codes } = this;
    const place = { buffer: this.#memory.buffer, ...(offloaded ? { offloaded } : {}) };
    return codes ? { ...place, codes } : place;
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

  /** Copies all of another that is held alike. */
  take(other: Parameter): void {
    const [to, from] = [this.codes, other.codes];
    if (to && from) this.#gpu.copy(from.rows, 0, to.rows, 0, this.bytes);
    else this.#gpu.copy(other.buffer, 0, this.buffer, 0, Math.ceil(this.bytes / 4) * 4);
    if (to?.table && from?.table) this.#gpu.copy(from.table, 0, to.table, 0, 4 * tableWords(to.packing));
  }

  /** Gives the gradient's memory back; it is made anew when it is asked for. */
  freeGradient(): void {
    this.#gradient?.free();
    this.#gradient = undefined;
  }

  free(): void {
    this.#memory.free();
    this.#codes?.table?.free();
    this.freeGradient();
  }
}
