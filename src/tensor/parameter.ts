/** A named weight that lives on the GPU between runs, with its gradient where it is trained. */

import { UserError } from "../errors.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Offload, OffloadedWeight } from "./offload.ts";
import { type Packing, tableWords } from "./packed.ts";
import { type PageStore, Pages } from "./paging/pages.ts";
import { bytesOf, type ElementType, type Place, sizeOf } from "./tensor.ts";

/** What lies beside a weight of codes on the GPU. */
interface Codes {
  readonly packing: Packing;
  readonly table: PooledBuffer | undefined;
}

/** A weight whose parts along the first dimension lie on the host, some of them at a time on the device. */
export interface Paged {
  readonly store: PageStore;
  /** Parts of one kind share slots: `model.layers.mlp.experts.up_proj`. */
  readonly kind: string;
  /** Gives the first values of a part; 0 when left out. */
  readonly read?: (part: number) => Promise<Uint8Array>;
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
  /** Parts along the first dimension, such as experts: what is summed over values is summed over each alone. */
  parts = 1;
  readonly #gpu: Gpu;
  readonly #memory: PooledBuffer | OffloadedWeight | Pages;
  readonly #dtype: "f32" | "bf16" | undefined;
  readonly #codes: Codes | undefined;
  readonly #paged: Paged | undefined;
  #gradient: PooledBuffer | Pages | undefined;

  /**
   * Contents are undefined until `write`. `lent`: it lies on the disk, where nothing trains it; or in pages. A packing
   * makes it a weight of codes, which nothing trains either, and which has no pages.
   */
  constructor(
    gpu: Gpu,
    name: string,
    shape: readonly number[],
    dtype: "f32" | "bf16" | Packing = "f32",
    trainable = true,
    lent?: { readonly to: Offload; readonly kind: string } | Paged,
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
    this.#paged = lent && "store" in lent ? lent : undefined;
    if (this.#paged) this.#memory = this.pagesBeside(name, this.dtype, this.#paged.read)!;
    else
      this.#memory = lent && "to" in lent ? lent.to.weight(lent.kind, bytes) : gpu.buffer(bytes, name, !!this.#codes);
  }

  /** Of a weight in pages: another tensor of its shape in pages, such as a state; undefined of any other weight. */
  pagesBeside(name: string, dtype: "f32" | "bf16", read?: Paged["read"]): Pages | undefined {
    if (!this.#paged) return undefined;
    const { store, kind } = this.#paged;
    const [count = 1] = this.shape;
    const what = name === this.name ? kind : `${name.slice(0, name.indexOf(" of "))} of ${kind}`;
    return store.pages(what, name, { count, bytes: (this.size / count) * (dtype === "bf16" ? 2 : 4), read });
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
  /**
   * Throws UserError of a weight in pages, which no one buffer holds, and of one of codes, which products alone read.
   */
  get buffer(): GPUBuffer {
    return this.#codes ? this.#refuse() : this.#whole(this.#memory).buffer;
  }
  /** The same for a copy of it. */
  get held(): "f32" | "bf16" | Packing {
    return this.#codes?.packing ?? this.dtype;
  }
  #refuse(): never {
    throw new UserError(
      `${this.name} is held as codes (--load-in), and its values are asked for`,
      "hold the weights themselves, or leave out what reads them",
    );
  }
  /** Of a weight of codes: how its rows lie, and where. */
  get codes(): { packing: Packing; rows: GPUBuffer; table: GPUBuffer | undefined } | undefined {
    const codes = this.#codes;
    return codes && { packing: codes.packing, rows: this.#whole(this.#memory).buffer, table: codes.table?.buffer };
  }
  /** Of a weight on the disk: what brings it into the buffer. */
  get offloaded(): OffloadedWeight | undefined {
    return this.#memory instanceof OffloadedWeight ? this.#memory : undefined;
  }
  /** Of a weight in pages. */
  get pages(): Pages | undefined {
    return this.#memory instanceof Pages ? this.#memory : undefined;
  }
  /** Where it lies; nowhere as a whole if in pages. */
  get place(): Place {
    const { offloaded: lent, pages, codes } = this;
    if (pages) return {};
    const buffer = this.#whole(this.#memory).buffer;
    return { buffer, ...(lent ? { lent } : {}), ...(codes ? { codes } : {}) };
  }
  get hasGradient(): boolean {
    return this.#gradient !== undefined;
  }

  #whole<T extends { readonly buffer: GPUBuffer }>(memory: T | Pages): T {
    if (!(memory instanceof Pages)) return memory;
    throw new UserError(
      `this work needs all of ${this.name} at once, of which --expert-store stream holds some experts`,
      "hold all of them in memory, or leave out what asks for whole weights",
    );
  }

  /** The f32 gradient, made when first asked for, so that frozen weights cost none. Throws as `buffer` does. */
  get gradient(): GPUBuffer {
    return this.#whole(this.#madeGradient()).buffer;
  }

  /** The gradient of a weight in pages. */
  get gradientPages(): Pages | undefined {
    const made = this.#paged && this.#madeGradient();
    return made instanceof Pages ? made : undefined;
  }

  #madeGradient(): PooledBuffer | Pages {
    const label = `gradient of ${this.name}`;
    this.#gradient ??= this.pagesBeside(label, "f32") ?? this.#gpu.buffer(Math.max(16, 4 * this.size), label);
    return this.#gradient;
  }

  /** Sets the gradient to 0. */
  clearGradient(): void {
    const made = this.#madeGradient();
    if (made instanceof Pages) made.clear();
    else this.#gpu.clear(made.buffer, Math.max(16, 4 * this.size));
  }

  /** Sets the values, given as f32 for an f32 parameter and as packed words for a bf16 one. */
  write(values: Float32Array | Uint16Array): void {
    const expected: ElementType = values instanceof Float32Array ? "f32" : "bf16";
    if (expected !== this.dtype || values.length !== this.size) {
      throw new RangeError(`${this.name}: ${values.length} ${expected} values for ${this.size} of ${this.dtype}`);
    }
    this.writeBytes(0, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }

  /** Sets bytes from `first` on; of a weight in pages whole ones. */
  writeBytes(first: number, bytes: Uint8Array): void {
    const { pages } = this;
    if (pages) pages.write(first / pages.bytes, bytes);
    else this.#gpu.write(this.buffer, first, bytes);
  }

  /** Copies all of another that is held alike. */
  take(other: Parameter): void {
    const [to, from] = [this.codes, other.codes];
    if (to && from) this.#gpu.copy(from.rows, 0, to.rows, 0, this.bytes);
    else this.#gpu.copy(other.buffer, 0, this.buffer, 0, Math.ceil(this.bytes / 4) * 4);
    if (to?.table && from?.table) this.#gpu.copy(from.table, 0, to.table, 0, 4 * tableWords(to.packing));
  }

  /** Gives the gradient's memory back; it is made anew when it is asked for. Pages belong to their store. */
  freeGradient(): void {
    if (!(this.#gradient instanceof Pages)) this.#gradient?.free();
    this.#gradient = undefined;
  }

  free(): void {
    if (!(this.#memory instanceof Pages)) this.#memory.free();
    this.#codes?.table?.free();
    this.freeGradient();
  }
}
