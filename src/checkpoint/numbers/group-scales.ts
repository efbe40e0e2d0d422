/** Scales of groups of values, from their largest magnitudes. */
import { nvfp4Divisor, powerBelow, storedScales } from "../quantized/scales.ts";
import type { LevelTable } from "./level-table.ts";
import type { ScaledFormat } from "./number-format.ts";

const FLOAT = new Float32Array(1);
const BITS = new Uint32Array(FLOAT.buffer);
/** Bits of an f32 below the 16 that scales keep. */
const LOW = 0xff;

/**
 * The least number of 16 digits in base 2 that is not below. A level of 8 digits times it is exact in f32, so that what
 * was rounded once stays as it is.
 */
function roundedUp(value: number): number {
  FLOAT[0] = value;
  BITS[0] = (BITS[0]! + LOW) & ~LOW;
  return FLOAT[0];
}

const isPower = (value: number): boolean => Number.isInteger(Math.log2(value));

/** Largest magnitudes (rows, groups) of groups of `group` columns. Throws RangeError for a value that is no number. */
export function largestOf(values: Float32Array, rows: number, columns: number, group: number): Float32Array {
  const groups = Math.ceil(columns / group);
  const largest = new Float32Array(rows * groups);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = Math.abs(values[row * columns + column]!);
      if (!Number.isFinite(value)) throw new RangeError(`row ${row} holds ${values[row * columns + column]}`);
      const cell = row * groups + Math.floor(column / group);
      if (value > largest[cell]!) largest[cell] = value;
    }
  }
  return largest;
}

/** Scales as they are stored, beside their divisor where there is one; a group of zeros has the scale 0 if it can. */
export function scalesOf(
  largest: Float32Array,
  { rule, scale }: Pick<ScaledFormat, "rule" | "scale">,
  { largest: end }: Pick<LevelTable, "largest">,
): { readonly scales: Float32Array; readonly divisor?: number } {
  switch (rule) {
    case "absmax": {
      const exact = largest.map((most) => Math.fround(most / end));
      if (scale !== "F32") return { scales: storedScales(exact, scale) };
      return { scales: isPower(end) ? exact : exact.map(roundedUp) };
    }
    case "power": {
      const top = powerBelow(end);
      return {
        scales: storedScales(
          largest.map((most) => powerBelow(most) / top),
          scale,
        ),
      };
    }
    case "divided": {
      const divisor = nvfp4Divisor(largest.reduce((a, b) => Math.max(a, b), 0));
      return {
        scales: storedScales(
          largest.map((most) => Math.fround(most / end)),
          scale,
          divisor,
        ),
        divisor,
      };
    }
  }
}
