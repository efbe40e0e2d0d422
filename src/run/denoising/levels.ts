/**
 * Levels of noise of a denoiser, and what it is told of each, on the host. A level sigma is the standard deviation of
 * the noise that is added to a row. Karras et al. 2022, https://arxiv.org/abs/2206.00364, table 1; the least level
 * sigma_0 as Song and Dhariwal 2023, https://arxiv.org/abs/2310.14189, have it, where c_skip is 1 and c_out is 0:
 *
 *   c_skip = d^2 / ((sigma - sigma_0)^2 + d^2)      c_out = d (sigma - sigma_0) / sqrt(sigma^2 + d^2)
 *   c_in   = 1 / sqrt(sigma^2 + d^2)                d: standard deviation of rows
 */
import type { NoiseSizes } from "../../model/noise.ts";

/** Curvature of the grid of levels. */
const RHO = 7;

/** Slowest and fastest wave in log(sigma) / 4, in turns. */
const [SLOWEST, FASTEST] = [1 / 8, 4];

/** What a denoiser is told of levels, a row each. */
export interface LevelColumns {
  /** (B, 2 frequencies) */
  readonly features: Float32Array;
  /** (B) each */
  readonly into: Float32Array;
  readonly skip: Float32Array;
  readonly out: Float32Array;
}

/** Levels within the model's own. */
export function levelColumns(sigmas: ArrayLike<number>, { frequencies, low, data }: NoiseSizes): LevelColumns {
  const rows = Array.from(sigmas);
  const features = new Float32Array(rows.length * 2 * frequencies);
  const step = frequencies === 1 ? 1 : (FASTEST / SLOWEST) ** (1 / (frequencies - 1));
  for (const [row, sigma] of rows.entries())
    for (let k = 0; k < frequencies; k++) {
      const angle = 2 * Math.PI * SLOWEST * step ** k * (Math.log(sigma) / 4);
      features[row * 2 * frequencies + 2 * k] = Math.cos(angle);
      features[row * 2 * frequencies + 2 * k + 1] = Math.sin(angle);
    }
  const column = (of: (sigma: number) => number) => Float32Array.from(rows, of);
  return {
    features,
    into: column((sigma) => 1 / Math.hypot(sigma, data)),
    skip: column((sigma) => data ** 2 / ((sigma - low) ** 2 + data ** 2)),
    out: column((sigma) => (data * (sigma - low)) / Math.hypot(sigma, data)),
  };
}

/** A grid of `count` levels from the model's least one to its largest; of one level, the largest. */
export const levelGrid = (count: number, { low, high }: Pick<NoiseSizes, "low" | "high">): number[] =>
  Array.from({ length: count }, (_, i) => {
    if (i === count - 1) return high; // exact, so that no level is outside the model's own
    const [a, b] = [low ** (1 / RHO), high ** (1 / RHO)];
    return i === 0 ? low : (a + (i / (count - 1)) * (b - a)) ** RHO;
  });
