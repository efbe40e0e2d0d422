/**
 * Grids of groups of a matrix and the codes of its values on them, on the GPU: what quantizers of linear layers share.
 * Host memory: a byte a weight.
 */
import { groupsOf, type QuantizedMatrix } from "../checkpoint/quantized/matrix.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { foldGroups, LANES } from "../gpu/grid.ts";
import type { Scheme } from "./quantizer.ts";

/** How the range of a group becomes its scale. */
export interface RangeRule {
  /** Searches the share of the range with the least sum |w - v|^2.4: 80 steps of 1 %. */
  readonly search?: boolean;
  /** Of symmetric integers: max |w| is the code 2^(bits - 1) - 1, and a group of zeros has the scale 0. */
  readonly absmax?: boolean;
}

/** A matrix on the GPU, f32. */
export interface OnGpu {
  readonly gpu: Gpu;
  readonly weight: PooledBuffer;
  readonly rows: number;
  readonly columns: number;
}

interface Fit {
  readonly first?: number;
  readonly count?: number;
  readonly shrink?: number;
}

/** Smallest and largest scale of each type. */
const ENDS = {
  f32: [2 ** -126, 3.4e38],
  f16: [2 ** -24, 65504],
  bf16: [2 ** -126, 3.3895313892515355e38],
} as const;

/** Levels in ascending order with their codes; of equal ones the smallest code, and those that are no numbers not. */
export function sortedLevels(levels: Float32Array): { readonly levels: Float32Array; readonly names: Uint32Array } {
  const codes = [...levels.keys()].filter((code) => Number.isFinite(levels[code]!));
  codes.sort((a, b) => levels[a]! - levels[b]! || a - b);
  const kept = codes.filter((code, i) => i === 0 || levels[code]! !== levels[codes[i - 1]!]!);
  return { levels: Float32Array.from(kept, (code) => levels[code]!), names: Uint32Array.from(kept) };
}

/** Columns of a group of a matrix of so many: all where the scheme's are more. */
export const groupSize = ({ group }: Pick<Scheme, "group">, columns: number): number => Math.min(group, columns);

/** Whether codes lie about the middle: those of levels do. */
export const isCentred = ({ symmetric, levels }: Scheme): boolean => symmetric || levels !== undefined;

/** Scales and zero points of the groups of a matrix (rows, groups), f32 on the GPU. `using` gives the memory back. */
export class GroupGrids implements Disposable {
  readonly #gpu: Gpu;
  readonly scheme: Scheme;
  readonly rows: number;
  readonly columns: number;
  readonly group: number;
  readonly groups: number;
  readonly scales: PooledBuffer;
  readonly zeros: PooledBuffer;
  readonly #rule: RangeRule;

  constructor({ gpu, rows, columns }: Omit<OnGpu, "weight">, scheme: Scheme, rule: RangeRule = {}) {
    this.#gpu = gpu;
    this.scheme = scheme;
    this.#rule = rule;
    this.rows = rows;
    this.columns = columns;
    this.group = groupSize(scheme, columns);
    this.groups = groupsOf({ columns, group: this.group });
    this.scales = gpu.buffer(4 * rows * this.groups, "scales");
    this.zeros = gpu.buffer(4 * rows * this.groups, "zero points");
  }

  /**
   * Fits groups to a matrix of this shape: all, or `count` from the `first` on. `shrink` clips the range at that share
   * of the largest magnitude.
   */
  async fit({ weight }: Pick<OnGpu, "weight">, { first = 0, count = this.groups - first, shrink = 1 }: Fit = {}) {
    if (count === 0) return;
    const { bits, levels, scales } = this.scheme;
    const { search = false, absmax = false } = this.#rule;
    const top = 2 ** bits - 1;
    const [least, most] = ENDS[scales];
    const span = levels ? 2 * largest(levels) : absmax ? top - 1 : top;
    const kernel = await this.#gpu.kernel("compress/fit-grid", { flags: scales === "f32" ? [] : [`round_${scales}`] });
    this.#gpu.run(kernel, {
      bind: { weight: weight.buffer, scales: this.scales.buffer, zeros: this.zeros.buffer },
      params: {
        ...{ rows: this.rows, columns: this.columns, group: this.group, groups: this.groups, first, count },
        ...{ symmetric: Number(isCentred(this.scheme)), steps: search ? 80 : 0 },
        ...{ span, top, middle: 2 ** (bits - 1), least, most, empty: absmax ? 0 : -1, shrink },
      },
      groups: foldGroups(Math.ceil((this.rows * count) / LANES)),
    });
  }

  /** Codes of a matrix of this shape, with what stands for its values. */
  async codes({ weight }: Pick<OnGpu, "weight">, groupOf?: Int32Array): Promise<QuantizedMatrix> {
    const { rows, columns } = this;
    const count = rows * columns;
    using packed = this.#gpu.buffer(4 * Math.ceil(count / 4), "codes");
    const places = Uint32Array.from({ length: columns }, (_, k) => groupOf?.[k] ?? Math.floor(k / this.group));
    using held = this.#gpu.upload(places, "groups of columns");
    await this.#round(weight, held, packed);
    const bytes = await this.#gpu.read(packed.buffer, 0, 4 * Math.ceil(count / 4), (view) => view.slice(0, count));
    return { ...(await this.read()), codes: bytes, ...(groupOf ? { groupOf } : {}) };
  }

  /** What a matrix of codes has beside them. */
  async read(): Promise<Omit<QuantizedMatrix, "codes">> {
    const { rows, columns, group, groups, scheme } = this;
    const { bits, levels } = scheme;
    const count = rows * groups;
    const scales = await this.#gpu.readFloats(this.scales.buffer, count);
    return {
      ...{ bits, rows, columns, group, scales },
      ...(levels ? { levels } : {}),
      ...(isCentred(scheme) ? {} : { zeros: Uint8Array.from(await this.#gpu.readFloats(this.zeros.buffer, count)) }),
    };
  }

  async #round(weight: PooledBuffer, groupOf: PooledBuffer, codes: PooledBuffer): Promise<void> {
    const gpu = this.#gpu;
    const { rows, columns, groups } = this;
    const { bits } = this.scheme;
    const sorted = this.scheme.levels && sortedLevels(this.scheme.levels);
    using levels = sorted && gpu.upload(sorted.levels, "levels");
    using names = sorted && gpu.upload(sorted.names, "codes of levels");
    const kernel = await gpu.kernel("compress/nearest-codes", { flags: sorted ? ["levels"] : [] });
    gpu.run(kernel, {
      bind: {
        ...{ weight: weight.buffer, scales: this.scales.buffer, zeros: this.zeros.buffer },
        ...{ group_of: groupOf.buffer, codes: codes.buffer },
        ...(levels && names ? { levels: levels.buffer, names: names.buffer } : {}),
      },
      params: { rows, columns, groups, count: sorted?.levels.length ?? 0, top: 2 ** bits - 1 },
      groups: foldGroups(Math.ceil((rows * columns) / 4 / LANES)),
    });
    gpu.submit();
  }

  [Symbol.dispose](): void {
    this.scales.free();
    this.zeros.free();
  }
}

/** The largest magnitude of levels. */
function largest(levels: Float32Array): number {
  return levels.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);
}
