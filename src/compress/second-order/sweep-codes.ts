/**
 * Codes of a layer by a sweep over its columns, on the grids of its groups: GPTQ, and what begins with it. Frantar et
 * al., ICLR 2023, https://arxiv.org/abs/2210.17323
 */
import type { QuantizedMatrix } from "../../checkpoint/quantized/matrix.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Options } from "../../method/options.ts";
import { diagonalOf, type InverseFactor, inverseFactor } from "../../tensor/linear-algebra/inverse-factor.ts";
import type { MeasuredLayer } from "../layer.ts";
import { GroupGrids, sortedLevels } from "../nearest-codes.ts";
import type { Scheme } from "../quantizer.ts";
import { dropDead } from "./dead-inputs.ts";
import { type CodeTarget, MOST_BLOCK, movedColumns, sweep } from "./sweep.ts";

export const SWEEP_OPTIONS = {
  damp: {
    type: "number > 0",
    default: 0.01,
    help: "added to the second moments of the inputs, as a share of their mean",
    value: "D",
  },
  block: {
    type: "1 <= number.integer <= 128",
    default: MOST_BLOCK,
    help: "columns after which errors go on to all that follow",
    value: "N",
  },
} as const satisfies Options;

export interface SweepChoices {
  readonly damp: number;
  readonly block?: number;
  /** Columns of the largest inputs first. */
  readonly actOrder?: boolean;
  /** Grids of all groups from the weights as they were. */
  readonly staticGroups?: boolean;
  /** Searches the range of each group. */
  readonly search?: boolean;
}

/** Columns by falling second moments, equal ones as they stand; or all as they stand. */
async function orderOf({ gpu, columns, inputs }: MeasuredLayer, falling: boolean): Promise<Uint32Array> {
  const places = Uint32Array.from({ length: columns }, (_, k) => k);
  if (!falling) return places;
  const diagonal = await diagonalOf(gpu, inputs.gram);
  return places.sort((a, b) => diagonal[b]! - diagonal[a]! || a - b);
}

/** 1 where a weight is 0, u32. The caller frees it. */
async function zeroMarks(gpu: Gpu, weight: PooledBuffer, count: number): Promise<PooledBuffer> {
  const values = await gpu.readFloats(weight.buffer, count);
  return gpu.upload(
    Uint32Array.from(values, (x) => Number(x === 0)),
    "weights that are 0",
  );
}

/** What codes stand for in a sweep, by the columns as they stand. */
export interface SweepGrid {
  readonly scales: PooledBuffer;
  /** Zero points, or offsets. */
  readonly zeros: PooledBuffer;
  readonly groups: number;
  readonly values: CodeTarget["values"];
  readonly top: number;
}

/** Sweeps over one layer's columns in one order. `using` gives the memory back. */
export class ColumnSweep implements Disposable {
  readonly order: Uint32Array;
  readonly #layer: MeasuredLayer;
  readonly #factor: InverseFactor;
  readonly #block: number;

  private constructor(layer: MeasuredLayer, order: Uint32Array, factor: InverseFactor, block: number) {
    this.#layer = layer;
    this.order = order;
    this.#factor = factor;
    this.#block = block;
  }

  /** The layer's weight becomes 0 for inputs that are always 0. */
  static async of(
    layer: MeasuredLayer,
    { damp, block = MOST_BLOCK, actOrder = false }: Pick<SweepChoices, "damp" | "block" | "actOrder">,
  ): Promise<ColumnSweep> {
    const order = await orderOf(layer, actOrder);
    const factor = await inverseFactor(layer.gpu, layer.inputs.gram, { damp, order });
    await dropDead(layer, factor);
    return new ColumnSweep(layer, order, factor, block);
  }

  /**
   * Codes (rows, columns) of a matrix of the layer's shape. `groupOf` is the group of every column in the sweep's
   * order. `before` fits groups to the matrix as it is when a block of columns is reached. Where `keep` is 0 the value
   * is the one nearest to 0.
   */
  async codes(
    weight: PooledBuffer,
    { scales, zeros, ...grid }: SweepGrid,
    groupOf: Uint32Array,
    {
      keep,
      before,
    }: { keep?: PooledBuffer; before?(moved: PooledBuffer, from: number, to: number): Promise<void> } = {},
  ): Promise<Uint8Array> {
    const { gpu, rows, columns, signal } = this.#layer;
    using moved = await movedColumns(this.#layer, weight, this.order);
    using kept = keep && (await movedColumns(this.#layer, keep, this.order));
    using marks = kept && (await zeroMarks(gpu, kept, rows * columns));
    using codes = gpu.buffer(4 * rows * columns, "codes");
    await sweep({
      ...{ gpu, rows, columns, weight: moved, factor: this.#factor.factor, block: this.#block, signal },
      target: {
        ...{ ...grid, groupOf, scales: scales.buffer, zeros: zeros.buffer, codes: codes.buffer },
        ...(marks ? { marks: marks.buffer } : {}),
      },
      ...(before ? { before: (from, to) => before(moved, from, to) } : {}),
    });
    return unmoved(await gpu.readWords(codes.buffer, rows * columns), this.order);
  }

  [Symbol.dispose](): void {
    this.#factor[Symbol.dispose]();
  }
}

/** A layer's codes. Its weight becomes 0 for inputs that are always 0, and is else left as it is. */
export async function sweepCodes(
  layer: MeasuredLayer,
  scheme: Scheme,
  { staticGroups = false, search = false, ...choices }: SweepChoices,
): Promise<QuantizedMatrix> {
  const { columns, weight } = layer;
  using columnSweep = await ColumnSweep.of(layer, choices);
  using grids = new GroupGrids(layer, scheme, { search });
  if (staticGroups) await grids.fit(layer);
  const { scales, zeros, group, groups } = grids;
  const { order } = columnSweep;
  // Groups are of columns as they stand, or in the order in which they are rounded.
  const groupOf = order.map((column, k) => Math.floor((staticGroups ? column : k) / group));
  /** Fits the groups that begin in a block. */
  const before = async (moved: PooledBuffer, from: number, to: number) => {
    const first = Math.ceil(from / group);
    await grids.fit({ weight: moved }, { first, count: Math.ceil(to / group) - first });
  };
  const values = scheme.levels ? levelsOf(scheme.levels) : "integers";
  const grid: SweepGrid = { scales, zeros, groups, values, top: 2 ** scheme.bits - 1 };
  const codes = await columnSweep.codes(weight, grid, groupOf, {
    ...(scheme.keepZeros ? { keep: weight } : {}),
    ...(staticGroups ? {} : { before }),
  });
  const places = new Int32Array(columns);
  for (const [k, column] of order.entries()) places[column] = groupOf[k]!;
  const inOrder = !choices.actOrder || staticGroups || groups === 1;
  return { ...(await grids.read()), codes, ...(inOrder ? {} : { groupOf: places }) };
}

const levelsOf = (levels: Float32Array) => {
  const sorted = sortedLevels(levels);
  return Array.from(sorted.levels, (value, i) => ({ value, code: sorted.names[i]! }));
};

/** Codes of columns that were moved, as bytes where they stood. */
function unmoved(words: Uint32Array, order: Uint32Array): Uint8Array {
  const columns = order.length;
  const codes = new Uint8Array(words.length);
  for (let row = 0; row < words.length; row += columns)
    for (let k = 0; k < columns; k++) codes[row + order[k]!] = words[row + k]!;
  return codes;
}
