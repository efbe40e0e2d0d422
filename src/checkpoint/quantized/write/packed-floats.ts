/** What layouts of 4-bit floats e2m1 in groups of whole columns share. */
import { firstOf, type MatrixScheme, notLinear, oneOf } from "./contract.ts";

/** Why a matrix cannot be held in groups of so many columns with scales of this type; undefined where it can. */
export function misfitOfFloats(
  name: string,
  shape: readonly number[],
  { grid, group, points, reordered, scale }: MatrixScheme,
  held: { readonly group: number; readonly scale: MatrixScheme["scale"] },
): string | undefined {
  return firstOf(
    notLinear(name, shape),
    oneOf("grid", grid, ["fp4-e2m1"]),
    oneOf("groups", group, [held.group]),
    points !== "middle" && "floats have no zero points",
    reordered && "it keeps columns in their order",
    shape[1]! % held.group !== 0 && `its ${shape[1]} columns are no whole groups of ${held.group}`,
    oneOf("scales", scale, [held.scale]),
  );
}
