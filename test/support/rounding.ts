/** Round to nearest in f64 on the host, for tests. Written from its definition, without the code that they test. */

/** To the nearest integer, halves to the even one. */
export function halfEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  if (rest !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
}

export interface Fit {
  readonly bits: number;
  readonly symmetric?: boolean;
  readonly mse?: boolean;
  readonly absmax?: boolean;
}

/** Scale and zero point of a group of values. */
export function fitGroup(values: readonly number[], { bits, symmetric, mse, absmax }: Fit): [number, number] {
  const top = 2 ** bits - 1;
  let [lo, hi] = [Math.min(0, ...values), Math.max(0, ...values)];
  if (lo === 0 && hi === 0) {
    if (absmax) return [0, 2 ** (bits - 1)];
    [lo, hi] = [-1, 1];
  }
  if (symmetric || absmax) {
    hi = Math.max(hi, -lo);
    lo = -hi;
  }
  const grid = (p: number): [number, number] => {
    const scale = (p * (hi - lo)) / (absmax ? top - 1 : top);
    return [scale, symmetric || absmax ? 2 ** (bits - 1) : halfEven((-p * lo) / scale)];
  };
  if (!mse) return grid(1);
  let best: [number, number] = grid(1);
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 80; i++) {
    const [scale, zero] = grid(1 - i / 100);
    const lost = values.reduce((sum, w) => sum + Math.abs(w - roundedTo(w, scale, zero, top)) ** 2.4, 0);
    if (lost < least) [best, least] = [[scale, zero], lost];
  }
  return best;
}

export const codeOf = (w: number, scale: number, zero: number, top: number): number =>
  scale === 0 ? zero : Math.min(top, Math.max(0, halfEven(w / scale) + zero));

export const roundedTo = (w: number, scale: number, zero: number, top: number): number =>
  scale * (codeOf(w, scale, zero, top) - zero);
