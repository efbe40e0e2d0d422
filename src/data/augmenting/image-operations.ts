/**
 * Small changes of images, each with an amount from 0, which changes nothing, to 1; those with a direction go either
 * way by lot. Values are moved within the range and around the mean of the image itself, so images need no scale of
 * their own. After the list of RandAugment: Cubuk et al. 2019, https://arxiv.org/abs/1909.13719
 */
import type { ImageShape } from "../corrupting/contract.ts";
import { cos, sin } from "../portable.ts";
import type { Random } from "../random.ts";

interface Change {
  readonly x: Float32Array;
  readonly shape: ImageShape;
  /** 0 to 1 */
  readonly amount: number;
  /** 1 or -1 */
  readonly sign: number;
  readonly random: Random;
}

/** A plane at any place, between the four values around it; at the border the last value goes on. */
export function valueAt(
  x: ArrayLike<number>,
  start: number,
  [, height, width]: ImageShape,
  row: number,
  column: number,
): number {
  const y = Math.min(height - 1, Math.max(0, row));
  const z = Math.min(width - 1, Math.max(0, column));
  const [top, left] = [Math.floor(y), Math.floor(z)];
  const [bottom, right] = [Math.min(height - 1, top + 1), Math.min(width - 1, left + 1)];
  const at = (r: number, c: number) => x[start + r * width + c]!;
  const above = at(top, left) + (z - left) * (at(top, right) - at(top, left));
  const below = at(bottom, left) + (z - left) * (at(bottom, right) - at(bottom, left));
  return above + (y - top) * (below - above);
}

/** Values from the places that `from` gives, relative to the middle, for each place. */
function placed(
  { x, shape }: Change,
  from: (dy: number, dx: number) => readonly [dy: number, dx: number],
): Float32Array {
  const [channels, height, width] = shape;
  const [midRow, midColumn] = [(height - 1) / 2, (width - 1) / 2];
  const made = new Float32Array(x.length);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const [dy, dx] = from(row - midRow, column - midColumn);
      for (let channel = 0; channel < channels; channel++) {
        const start = channel * height * width;
        made[start + row * width + column] = valueAt(x, start, shape, midRow + dy, midColumn + dx);
      }
    }
  return made;
}

const meanOf = (x: Float32Array): number => x.reduce((sum, value) => sum + value, 0) / x.length;

function rangeOf(x: Float32Array): readonly [low: number, high: number] {
  return [x.reduce((a, b) => Math.min(a, b), x[0]!), x.reduce((a, b) => Math.max(a, b), x[0]!)];
}

/** Each value with the mean of the nine around it: between both, or away from it where `share` is below 0. */
function blended(change: Change, share: number): Float32Array {
  const { x, shape } = change;
  const [, height, width] = shape;
  return x.map((value, i) => {
    const plane = Math.floor(i / (height * width)) * height * width;
    const [row, column] = [Math.floor((i - plane) / width), i % width];
    let sum = 0;
    for (const dy of [-1, 0, 1]) for (const dx of [-1, 0, 1]) sum += valueAt(x, plane, shape, row + dy, column + dx);
    return value + share * (sum / 9 - value);
  });
}

/** Radians; 30 degrees. */
const MOST_TURN = Math.PI / 6;
/** Of the side. */
const MOST_SHIFT = 0.3;

/** Operations by name; those of `ORDINARY` are RandAugment's, the others may change what an image shows. */
const OPERATIONS = {
  identity: ({ x }) => x,
  turn(change) {
    const angle = MOST_TURN * change.amount;
    const [c, s] = [cos(angle), change.sign * sin(angle)];
    return placed(change, (dy, dx) => [c * dy - s * dx, s * dy + c * dx]);
  },
  "shear-rows": (change) => placed(change, (dy, dx) => [dy, dx + 0.3 * change.sign * change.amount * dy]),
  "shear-columns": (change) => placed(change, (dy, dx) => [dy + 0.3 * change.sign * change.amount * dx, dx]),
  "shift-rows": (change) =>
    placed(change, (dy, dx) => [dy + change.sign * change.amount * MOST_SHIFT * change.shape[1], dx]),
  "shift-columns": (change) =>
    placed(change, (dy, dx) => [dy, dx + change.sign * change.amount * MOST_SHIFT * change.shape[2]]),
  zoom(change) {
    const by = 1 + 0.3 * change.sign * change.amount;
    return placed(change, (dy, dx) => [dy * by, dx * by]);
  },
  brightness({ x, amount, sign }) {
    const [low, high] = rangeOf(x);
    return x.map((value) => value + 0.3 * sign * amount * (high - low));
  },
  contrast({ x, amount, sign }) {
    const mean = meanOf(x);
    return x.map((value) => mean + (1 + 0.9 * sign * amount) * (value - mean));
  },
  sharpness: (change) => blended(change, change.sign * change.amount),
  solarize({ x, amount }) {
    const [low, high] = rangeOf(x);
    const above = high - amount * (high - low);
    return x.map((value) => (value > above ? low + high - value : value));
  },
  posterize({ x, amount }) {
    const [low, high] = rangeOf(x);
    if (amount === 0 || high === low) return x;
    const levels = 2 ** Math.round(8 - 6 * amount) - 1;
    return x.map((value) => low + (Math.round(((value - low) / (high - low)) * levels) / levels) * (high - low));
  },
  noise({ x, amount, random }) {
    const [low, high] = rangeOf(x);
    return x.map((value) => value + 0.2 * amount * (high - low) * random.normal());
  },
  erase({ x, shape, amount, random }) {
    const [, height, width] = shape;
    const [rows, columns] = [Math.round(0.5 * amount * height), Math.round(0.5 * amount * width)];
    const [top, left] = [random.below(height - rows + 1), random.below(width - columns + 1)];
    const mean = meanOf(x);
    return x.map((value, i) => {
      const [row, column] = [Math.floor(i / width) % height, i % width];
      return row >= top && row < top + rows && column >= left && column < left + columns ? mean : value;
    });
  },
  "flip-rows": (change) => (change.amount === 0 ? change.x : placed(change, (dy, dx) => [-dy, dx])),
  "flip-columns": (change) => (change.amount === 0 ? change.x : placed(change, (dy, dx) => [dy, -dx])),
} as const satisfies Readonly<Record<string, (change: Change) => Float32Array>>;

export type ImageOperation = keyof typeof OPERATIONS;

const isOperation = (name: string): name is ImageOperation => Object.hasOwn(OPERATIONS, name);

/** All of them, in order. */
export const IMAGE_OPERATIONS: readonly ImageOperation[] = Object.keys(OPERATIONS).filter(isOperation);

/** Those that leave most images what they are. */
export const ORDINARY = IMAGE_OPERATIONS.filter((name) => !name.startsWith("flip-"));

/** The image after an operation. Amounts are 0 to 1; the direction, and what is drawn, follow from `random`. */
export function changedImage(
  operation: ImageOperation,
  x: Float32Array,
  { shape, amount, random }: { readonly shape: ImageShape; readonly amount: number; readonly random: Random },
): Float32Array {
  const sign = random.below(2) === 0 ? 1 : -1;
  return OPERATIONS[operation]({ x, shape, amount, sign, random });
}

/** Some operations one after the other, each drawn evenly, at one amount: RandAugment. */
export function randAugmented(
  x: Float32Array,
  given: { readonly shape: ImageShape; readonly count: number; readonly amount: number; readonly random: Random },
): Float32Array {
  const { shape, count, amount, random } = given;
  let made = x;
  for (let i = 0; i < count; i++) made = changedImage(random.pick(ORDINARY), made, { shape, amount, random });
  return made;
}
