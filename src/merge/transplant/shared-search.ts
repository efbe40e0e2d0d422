/**
 * Inner products of vectors with the rows of a table that two vocabularies share: the rows stay on the GPU, in blocks,
 * and only what was asked for comes back. Products and sums are f32.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { foldGroups } from "../../gpu/grid.ts";
import { planProduct } from "../../tensor/linear-algebra/products.ts";
import { profileOf } from "../../tensor/program.ts";
import type { RowTable } from "../vocabulary/row-table.ts";

/** Bytes of f32 that a block of rows is brought in by. */
const BLOCK = 1 << 25;

interface Block {
  readonly first: number;
  readonly rows: number;
  readonly values: PooledBuffer;
}

/** Vectors as long as rows are, one after the other. */
export interface Queries {
  readonly count: number;
  readonly values: Float32Array<ArrayBuffer>;
}

export class SharedSearch {
  readonly #gpu: Gpu;
  readonly #columns: number;
  readonly #halves: boolean;
  readonly #blocks: readonly Block[];

  private constructor(gpu: Gpu, columns: number, halves: boolean, blocks: readonly Block[]) {
    this.#gpu = gpu;
    this.#columns = columns;
    this.#halves = halves;
    this.#blocks = blocks;
  }

  /** Brings the rows of `ids` onto the GPU, BF16 as it is, any other type as f32. */
  static async open(gpu: Gpu, table: RowTable, ids: Int32Array): Promise<SharedSearch> {
    const halves = table.entry.dtype === "BF16";
    const rows = Math.max(1, Math.floor(BLOCK / (4 * table.columns)));
    const blocks: Block[] = [];
    for (let first = 0; first < ids.length; first += rows) {
      const part = await table.gather(ids.subarray(first, first + rows));
      const values = gpu.upload(halves ? upperHalves(part) : part, "shared rows");
      blocks.push({ first, rows: Math.min(rows, ids.length - first), values });
    }
    return new SharedSearch(gpu, table.columns, halves, blocks);
  }

  /** Bytes of the rows on the GPU. */
  static bytes(table: RowTable, rows: number): number {
    return rows * table.columns * (table.entry.dtype === "BF16" ? 2 : 4);
  }

  /** For every vector the row of the largest |inner product| that it has not `taken`, the first of equals. */
  async strongest({ count, values }: Queries, taken: readonly (readonly number[])[]): Promise<Int32Array> {
    const gpu = this.#gpu;
    using queries = gpu.upload(values, "vectors");
    const steps = Math.max(0, ...taken.map((list) => list.length));
    const serial = gpu.adapter.type === "cpu";
    const kernel = await gpu.kernel("merge/strongest", { flags: serial ? ["serial"] : [] });
    const held: PooledBuffer[] = [];
    const answers: Promise<readonly [Float32Array, Float32Array]>[] = [];
    try {
      for (const block of this.#blocks) {
        const local = new Int32Array(Math.max(1, count * steps)).fill(-1);
        for (const [row, list] of taken.entries())
          for (const [i, place] of list.entries()) local[row * steps + i] = place - block.first;
        const [products, known] = [await this.#products(queries.buffer, count, block), gpu.upload(local, "taken")];
        const [y, place] = [gpu.buffer(4 * count, "largest"), gpu.buffer(4 * count, "places")];
        held.push(products, known, y, place);
        gpu.run(kernel, {
          bind: { x: products.buffer, taken: known.buffer, y: y.buffer, place: place.buffer },
          params: { n: count, c: block.rows, t: steps, most: steps },
          groups: foldGroups(serial ? Math.ceil(count / 64) : count),
        });
        answers.push(Promise.all([gpu.readFloats(y.buffer, count), gpu.readFloats(place.buffer, count)]));
      }
      return strongestOf(await Promise.all(answers), this.#blocks, count);
    } finally {
      for (const buffer of held) buffer.free();
    }
  }

  /** All inner products, block by block: `found` is (count, rows) of the rows from `first` on. */
  async each(
    { count, values }: Queries,
    use: (first: number, rows: number, found: Float32Array) => void,
  ): Promise<void> {
    using queries = this.#gpu.upload(values, "vectors");
    for (const block of this.#blocks) {
      using products = await this.#products(queries.buffer, count, block);
      use(block.first, block.rows, await this.#gpu.readFloats(products.buffer, count * block.rows));
    }
  }

  async #products(queries: GPUBuffer, count: number, { rows, values }: Block): Promise<PooledBuffer> {
    const gpu = this.#gpu;
    const product = gpu.buffer(4 * count * rows, "inner products");
    const shape = { form: "nt", m: count, n: rows, k: this.#columns, bDtype: this.#halves ? "bf16" : "f32" } as const;
    const { kernel, params, groups, ...variant } = planProduct(shape, profileOf(gpu));
    gpu.run(await gpu.kernel(kernel, variant), {
      bind: { a: queries, b: values.buffer, c: product.buffer },
      params,
      groups,
    });
    return product;
  }

  free(): void {
    for (const { values } of this.#blocks) values.free();
  }
}

/** BF16 is the upper half of f32. */
function upperHalves(values: Float32Array<ArrayBuffer>): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) halves[i] = words[i]! >>> 16;
  return halves;
}

function strongestOf(
  answers: readonly (readonly [largest: Float32Array, places: Float32Array])[],
  blocks: readonly Block[],
  count: number,
): Int32Array {
  const best = new Float32Array(count).fill(-1);
  const found = new Int32Array(count).fill(-1);
  for (const [b, [largest, floats]] of answers.entries()) {
    const places = new Int32Array(floats.buffer);
    for (let row = 0; row < count; row++) {
      if (!(largest[row]! > best[row]!)) continue;
      best[row] = largest[row]!;
      found[row] = blocks[b]!.first + places[row]!;
    }
  }
  return found;
}
