/** Columns at given places, the same in every row; no gradients. */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { rowsOf, sizeOf, type Tensor } from "../tensor.ts";

const move = (rec: Recorder, kernel: "take-places" | "put-places", x: Tensor, place: Tensor, y: Tensor): void => {
  const k = sizeOf(place.shape);
  const whole = kernel === "take-places" ? x : y;
  const { rows, width: c } = rowsOf(whole);
  rec.step({
    kernel: `places/${kernel}`,
    bind: { x, place, y },
    params: { count: rows * k, c, k },
    groups: spanGroups(rows * k),
  });
};

/** x (R, C), places (K) u32 -> (R, K). */
export function takePlaces(rec: Recorder, x: Tensor, place: Tensor): Tensor {
  const y = rec.scratch([rowsOf(x).rows, sizeOf(place.shape)], `some columns of ${x.label}`);
  move(rec, "take-places", x, place, y);
  return y;
}

/** Writes x (R, K) over the columns of y (R, C) at places (K) u32. */
export const putPlaces = (rec: Recorder, x: Tensor, place: Tensor, y: Tensor): void =>
  move(rec, "put-places", x, place, y);
