/**
 * What a number format is: the values of a few bits, how many values share a scale, and how that is chosen. Every file
 * of number-formats/ exports one as `method`: `evaluate --probe number-format --number-format-names int8`.
 *
 * A format with a scale stands for scale * level; one of 16 bits for the number itself.
 */
import type { MethodInfo } from "../../method/registry.ts";
import { LEVELS, type LevelsName } from "../quantized/levels.ts";
import type { ScaleDtype } from "../quantized/scales.ts";
import type { MatrixScheme } from "../quantized/write/contract.ts";

/** How a group's scale follows from its largest magnitude. */
export type ScaleRule =
  /** The largest magnitude is the largest level. */
  | "absmax"
  /** A power of two under which the largest magnitude has the largest exponent: OCP Microscaling Formats 1.0. */
  | "power"
  /** As absmax, in e4m3 over one number for the matrix. */
  | "divided";

export interface PlainFormat extends MethodInfo {
  readonly kind: "plain";
  readonly bits: 16;
  readonly dtype: "F16" | "BF16";
}

export interface ScaledFormat extends MethodInfo {
  readonly kind: "scaled";
  readonly bits: number;
  readonly grid: "integer" | LevelsName;
  /** Values of the 2^bits codes; integers about 2^(bits - 1) where there are none, of which the least is not used. */
  readonly levels?: Float32Array;
  /** Columns of a row that share a scale; a row, or the whole matrix. */
  readonly group: number | "row" | "tensor";
  readonly rule: ScaleRule;
  /** Type in which scales are stored. */
  readonly scale: ScaleDtype;
}

export type NumberFormat = PlainFormat | ScaledFormat;

type Said = Omit<MethodInfo, "options">;

export const definePlainFormat = (format: Said & Pick<PlainFormat, "dtype">): PlainFormat => ({
  ...{ ...format, options: {}, kind: "plain", bits: 16 },
});

/** Of integers, or of levels that have a name. */
export const defineScaledFormat = (
  format: Said & Pick<ScaledFormat, "bits" | "grid" | "group" | "rule" | "scale">,
): ScaledFormat => ({
  ...{ ...format, options: {}, kind: "scaled" },
  ...(format.grid !== "integer" && { levels: LEVELS[format.grid] }),
});

/** What a layout that is written asks of its matrices. */
export const schemeOf = ({ bits, grid, group, scale }: ScaledFormat, plain: MatrixScheme["plain"]): MatrixScheme => ({
  bits,
  grid,
  points: "middle",
  group,
  scale,
  plain,
});

/** Bits of a value with its share of what scales it, in a matrix of rows of `columns`. */
export function bitsPerValue(format: NumberFormat, columns: number): number {
  if (format.kind === "plain") return format.bits;
  const { group, scale, bits } = format;
  if (group === "tensor") return bits;
  const own = scale === "F8_E4M3" || scale === "F8_E8M0" ? 8 : scale === "F16" || scale === "BF16" ? 16 : 32;
  return bits + own / (group === "row" ? columns : Math.min(group, columns));
}

declare module "../../method/registry.ts" {
  interface Contracts {
    "number-format": NumberFormat;
  }
}
