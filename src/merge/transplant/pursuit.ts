/**
 * Least squares that grows by one vector at a time, in f64: modified Gram-Schmidt with a second pass where it cancels.
 */
import { dotOf } from "../../tensor/linear-algebra/tridiagonal-eigen.ts";

/** A vector counts as a combination of those before it below this share of its length. */
const DEPENDENT = 1e-10;
/** Below this share of its length after a projection, what is left of a vector is projected again. */
const CANCELLED = 0.5;

const dot = (a: Float64Array, b: Float64Array): number => dotOf(a, 0, b, 0, 0, a.length);

function subtract(from: Float64Array, scale: number, of: Float64Array): void {
  for (let i = 0; i < from.length; i++) from[i]! -= scale * of[i]!;
}

export class Pursuit {
  /** What no combination of the vectors so far explains. */
  readonly residual: Float64Array;
  readonly #size: number;
  readonly #basis: Float64Array[] = [];
  /** Column j of R: the vector j in terms of the basis. */
  readonly #columns: number[][] = [];
  readonly #along: number[] = [];

  constructor(target: ArrayLike<number>) {
    this.residual = Float64Array.from(target);
    this.#size = Math.sqrt(dot(this.residual, this.residual));
  }

  /** Whether the target is explained to the rounding of f32. */
  get explained(): boolean {
    return Math.sqrt(dot(this.residual, this.residual)) <= 1e-7 * this.#size;
  }

  /** Takes a vector up; false, and nothing changes, where those before it explain it. */
  add(vector: ArrayLike<number>): boolean {
    const left = Float64Array.from(vector);
    const length = Math.sqrt(dot(left, left));
    const column = this.#basis.map(() => 0);
    let before = length;
    for (let pass = 0; pass < 2; pass++) {
      for (const [j, direction] of this.#basis.entries()) {
        const share = dot(direction, left);
        column[j]! += share;
        subtract(left, share, direction);
      }
      const after = Math.sqrt(dot(left, left));
      if (after > CANCELLED * before) break;
      before = after;
    }
    const rest = Math.sqrt(dot(left, left));
    if (!(rest > DEPENDENT * length)) return false;
    for (let i = 0; i < left.length; i++) left[i]! /= rest;
    const along = dot(left, this.residual);
    subtract(this.residual, along, left);
    this.#basis.push(left);
    this.#columns.push([...column, rest]);
    this.#along.push(along);
    return true;
  }

  /** The coefficients of the vectors, in the order in which they were taken up. */
  coefficients(): Float64Array {
    const n = this.#basis.length;
    const found = Float64Array.from(this.#along);
    for (let j = n - 1; j >= 0; j--) {
      found[j]! /= this.#columns[j]![j]!;
      for (let i = 0; i < j; i++) found[i]! -= this.#columns[j]![i]! * found[j]!;
    }
    return found;
  }
}
