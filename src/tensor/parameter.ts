/** A named weight that lives on the GPU between runs, with its gradient where it is trained. */

import { UserError } from "../errors.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Offload, OffloadedWeight } from "./offload.ts";
import { type PageStore, Pages } from "./paging/pages.ts";
import { bytesOf, type ElementType, type Place, sizeOf } from "./tensor.ts";

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
  readonly dtype: "f32" | "bf16";
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
  readonly #paged: Paged | undefined;
  #gradient: PooledBuffer | Pages | undefined;

  /** Contents are undefined until `write`. `lent`: it lies on the disk, where nothing trains it; or in pages. */
  constructor(
    gpu: Gpu,
    name: string,
    shape: readonly number[],
    dtype: "f32" | "bf16" = "f32",
    trainable = true,
    lent?: { readonly to: Offload; readonly kind: string } | Paged,
  ) {
    this.#gpu = gpu;
    this.name = name;
    this.shape = shape;
    this.dtype = dtype;
    this.trainable = trainable;
    const bytes = Math.max(16, bytesOf(this.size, dtype));
    this.#paged = lent && "store" in lent ? lent : undefined;
    if (this.#paged) this.#memory = this.pagesBeside(name, dtype, this.#paged.read)!;
    else this.#memory = lent && "to" in lent ? lent.to.weight(lent.kind, bytes) : gpu.buffer(bytes, name);
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
  get bytes(): number {
    return bytesOf(this.size, this.dtype);
  }
  /** Throws UserError of a weight in pages, which no one buffer holds. */
  get buffer(): GPUBuffer {
    return this.#whole(this.#memory).buffer;
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
    const { offloaded: lent, pages } = this;
    if (pages) return {};
    return lent ? { buffer: lent.buffer, lent } : { buffer: this.buffer };
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

  /** Gives the gradient's memory back; it is made anew when it is asked for. Pages belong to their store. */
  freeGradient(): void {
    if (!(this.#gradient instanceof Pages)) this.#gradient?.free();
    this.#gradient = undefined;
  }

  free(): void {
    if (!(this.#memory instanceof Pages)) this.#memory.free();
    this.freeGradient();
  }
}
