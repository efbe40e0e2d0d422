/** How the values of layers grow with depth. Kim et al. 2025, https://arxiv.org/abs/2502.02732 */
import { medianMagnitude, varianceOf } from "./layer-statistics.ts";
import { FEATURES, type SeenLayer } from "./layer-view.ts";

export interface LayerGrowth {
  readonly layer: string;
  readonly variance: number;
  /** Largest magnitude, and that over the median. */
  readonly largest: number;
  readonly massive: number;
  /** Norm of the loss's gradient, where it comes so far. */
  readonly gradient?: number;
}

export interface Growth {
  /** Variance of the last hidden state over that of the first. */
  readonly variance_growth: number;
  /** Largest over the layers. */
  readonly variance: number;
  readonly massive: number;
  /** The largest norm of a hidden state's gradient over the least; 1 where there are none. */
  readonly gradient_spread: number;
  readonly layers: readonly LayerGrowth[];
}

export function growthOf(seen: readonly SeenLayer[]): Growth {
  const layers = seen.map(({ layer, values, largest, gradient }): LayerGrowth => {
    const median = medianMagnitude(values);
    const massive = median === 0 ? 0 : largest / median;
    return { layer, variance: varianceOf(values), largest, massive, ...(gradient === undefined ? {} : { gradient }) };
  });
  const hidden = layers.filter(({ layer }) => layer !== FEATURES);
  const inner = hidden.length > 0 ? hidden : layers;
  const gradients = inner.flatMap(({ gradient }) => (gradient === undefined || gradient === 0 ? [] : [gradient]));
  const first = inner[0]!.variance;
  return {
    variance_growth: first === 0 ? 0 : inner.at(-1)!.variance / first,
    variance: Math.max(...inner.map(({ variance }) => variance)),
    massive: Math.max(...inner.map(({ massive }) => massive)),
    gradient_spread: gradients.length === 0 ? 1 : Math.max(...gradients) / Math.min(...gradients),
    layers,
  };
}
