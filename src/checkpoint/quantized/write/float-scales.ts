/** Scales that are plain floats of a file. */
import type { ScaleDtype } from "../scales.ts";

const FLOATS = ["F32", "BF16", "F16"] as const;
type FloatScale = (typeof FLOATS)[number];

export const isFloatScale = (scale: ScaleDtype): scale is FloatScale => FLOATS.some((dtype) => dtype === scale);

/** The type of the tensor of scales. Throws RangeError for one that a layout of floats does not hold. */
export function floatScales(scale: ScaleDtype): FloatScale {
  if (isFloatScale(scale)) return scale;
  throw new RangeError(`scales in ${scale} are no tensor of floats`);
}
