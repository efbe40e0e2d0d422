/** Steps of gradient descent on a few numbers, in f64 on the host. */

export interface Descent {
  /** Changes `free` by one step against its gradient. */
  step(free: Float64Array, gradient: Float64Array): void;
}

/** Plain gradient descent. */
export const sgd = (rate: number): Descent => ({
  step(free, gradient) {
    for (const [i, value] of gradient.entries()) free[i]! -= rate * value;
  },
});

/** Where Adam stands: steps that are done, and the moments of each number; empty before the first step. */
export interface AdamState {
  readonly steps: number;
  readonly means: Float64Array;
  readonly squares: Float64Array;
}

export interface Adam extends Descent {
  /** A copy. */
  state(): AdamState;
  /** Goes on from a state of as many numbers. */
  load(state: AdamState): void;
}

/** Adam (Kingma and Ba, arXiv:1412.6980) with betas 0.9 and 0.999 and eps 1e-8. */
export function adam(rate: number): Adam {
  let means = new Float64Array();
  let squares = new Float64Array();
  let steps = 0;
  return {
    state: () => ({ steps, means: means.slice(), squares: squares.slice() }),
    load(state) {
      steps = state.steps;
      means = state.means.slice();
      squares = state.squares.slice();
    },
    step(free, gradient) {
      if (steps === 0) {
        means = new Float64Array(free.length);
        squares = new Float64Array(free.length);
      }
      steps++;
      for (const [i, value] of gradient.entries()) {
        means[i] = 0.9 * means[i]! + 0.1 * value;
        squares[i] = 0.999 * squares[i]! + 0.001 * value * value;
        const mean = means[i]! / (1 - 0.9 ** steps);
        const square = squares[i]! / (1 - 0.999 ** steps);
        free[i]! -= (rate * mean) / (Math.sqrt(square) + 1e-8);
      }
    },
  };
}
