/**
 * Which kernel makes a matrix product, by class of adapter and size. The figures behind the table come from
 * test/bench/matmul.bench.ts; a row is changed when that shows a better one.
 */
import type { AdapterProfile } from "../adapter-profile.ts";

export type AdapterClass = "software" | "discrete" | "integrated" | "generic";

export interface Tuning {
  /** `subgroup` is written for drivers that compute on the CPU, with subgroups of 4 or 8. */
  readonly kernel: "subgroup" | "tile";
  /** Rows up to which a product is read as matrix times vectors; at most 8. */
  readonly vectorRows: number;
  /** Four columns each that a lane of such a product takes in nn, where rows of B are read across. */
  readonly vectorQuads: number;
  /** Invocations that share a column, or four columns, of a product of few rows. */
  readonly vectorLanes: number;
  /** Values of m n from which tiles of 128 x 128 fill the adapter; below, 64 x 64. */
  readonly largeFrom: number;
}

const TABLE: Record<AdapterClass, Tuning> = {
  software: { kernel: "subgroup", vectorRows: 7, vectorQuads: 4, vectorLanes: 8, largeFrom: Number.POSITIVE_INFINITY },
  discrete: { kernel: "tile", vectorRows: 8, vectorQuads: 1, vectorLanes: 128, largeFrom: 1 << 22 },
  integrated: { kernel: "tile", vectorRows: 8, vectorQuads: 1, vectorLanes: 32, largeFrom: Number.POSITIVE_INFINITY },
  generic: { kernel: "tile", vectorRows: 8, vectorQuads: 1, vectorLanes: 64, largeFrom: Number.POSITIVE_INFINITY },
};

/** Which row of the table an adapter belongs to. */
export function adapterClass({ software, subgroupSize, discrete }: AdapterProfile): AdapterClass {
  if (software) return subgroupSize === 8 || subgroupSize === 4 ? "software" : "generic";
  return discrete === undefined ? "generic" : discrete ? "discrete" : "integrated";
}

/** How products run best on an adapter. */
export const tuningOf = (profile: AdapterProfile): Tuning => TABLE[adapterClass(profile)];
