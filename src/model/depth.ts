/** Which layers a pass runs, and how often: what leaves layers out, runs them twice, or lets every row choose. */
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Gives what goes on in the place of x, a layer's input (N, C); `run` is the layer, to be called as often as it runs.
 */
export type Turn = (layer: number, x: Tensor, run: (x: Tensor) => Tensor) => Tensor;

/** How a pass goes through a model's layers. A pass without one runs each of them once. */
export interface Depth {
  readonly turn: Turn;
  /**
   * Layers of this pass that do not run and whose cached keys and values of a token are those of `layer`, so that a
   * later pass may run them.
   */
  readonly stoodFor?: (layer: number) => readonly number[];
}

/** Runs every layer as often as `times` says: 0 leaves it out. Throws RangeError for what are no counts. */
export function depthOf(times: readonly number[]): Depth {
  const odd = times.find((count) => !Number.isInteger(count) || count < 0);
  if (odd !== undefined) throw new RangeError(`a layer cannot run ${odd} times`);
  return {
    turn(layer, x, run) {
      let h = x;
      for (let turn = 0; turn < (times[layer] ?? 1); turn++) h = run(h);
      return h;
    },
  };
}

/**
 * Runs the layers of `kept` alone, rising numbers among `layers`. The cache of a layer that is left out takes what the
 * nearest lower kept one has, or the first kept one where there is none below. Liu et al. 2024,
 * https://arxiv.org/abs/2404.06954
 */
export function keptLayers(kept: readonly number[], layers: number): Depth {
  const isKept = new Set(kept);
  const nearest = (layer: number) => kept.findLast((lower) => lower < layer) ?? kept[0];
  const left = Array.from({ length: layers }, (_, layer) => layer).filter((layer) => !isKept.has(layer));
  return {
    ...depthOf(Array.from({ length: layers }, (_, layer) => (isKept.has(layer) ? 1 : 0))),
    stoodFor: (layer) => left.filter((other) => nearest(other) === layer),
  };
}
