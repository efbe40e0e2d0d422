/** Windows that go over images: where they lie, and how many there are. */
import { showShape, type Tensor } from "../tensor.ts";

export interface Windows {
  /** Rows and columns of a window. */
  readonly kernel: readonly [rows: number, columns: number];
  /** From one window to the next; 1 when left out. */
  readonly stride?: readonly [down: number, along: number];
  /** Places beyond the edge on each side; none when left out. */
  readonly padding?: readonly [rows: number, columns: number];
}

/** How many windows fit along a side; 0 where none does. */
export const windowsAlong = (size: number, kernel: number, stride = 1, padding = 0): number =>
  Math.max(0, Math.floor((size + 2 * padding - kernel) / stride) + 1);

/** What kernels read of windows over x (B, H, W, C). Throws RangeError where no window fits. */
export function windowParams(x: Tensor, { kernel: [kh, kw], stride = [1, 1], padding = [0, 0] }: Windows) {
  const [b = 0, h = 0, w = 0, c = 0] = x.shape;
  const [[sh, sw], [ph, pw]] = [stride, padding];
  const [oh, ow] = [windowsAlong(h, kh, sh, ph), windowsAlong(w, kw, sw, pw)];
  if (x.shape.length !== 4 || oh * ow === 0)
    throw new RangeError(`${x.label} ${showShape(x.shape)} holds no window of ${kh} x ${kw}`);
  return { b, params: { c, h, w, oh, ow, kh, kw, sh, sw, ph, pw } };
}
