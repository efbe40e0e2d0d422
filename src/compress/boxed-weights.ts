/**
 * Weights between the ends of their grids: the relaxation of integers that decoupleQ rounds. Guo et al. 2024,
 * https://arxiv.org/abs/2404.12759
 */
import type { PooledBuffer } from "../gpu/buffer.ts";
import { spanGroups } from "../gpu/grid.ts";
import { matmul } from "../tensor/linear-algebra/matmul.ts";
import type { Affine, Weighed } from "./refit.ts";

export interface Relaxing {
  readonly steps: number;
  /** Of Adam. */
  readonly rate: number;
  readonly top: number;
}

/** Weights between the ends of their grids with the least error, by projected Adam; the caller frees them. */
export async function relaxed(
  work: Weighed,
  { scales, offsets }: Omit<Affine, "codes">,
  how: Relaxing,
): Promise<PooledBuffer> {
  const { gpu, rows, columns, gram, weight, group } = work;
  const bytes = 4 * rows * columns;
  using held = gpu.upload(scales, "scales");
  using shifts = gpu.upload(offsets, "offsets");
  using difference = gpu.buffer(bytes, "difference");
  using gradient = gpu.buffer(bytes, "gradient");
  using mean = gpu.buffer(bytes, "mean");
  using square = gpu.buffer(bytes, "square");
  const kernel = await gpu.kernel("compress/box-adam");
  const at = { rows, columns };
  for (let step = 0; step <= how.steps; step++) {
    if (step > 0)
      await matmul(gpu, {
        ...{ form: "nn", a: { buffer: difference.buffer, ...at }, b: gram, c: { buffer: gradient.buffer, ...at } },
      });
    gpu.run(kernel, {
      bind: {
        ...{ weight: weight.buffer, gradient: gradient.buffer, scales: held.buffer, offsets: shifts.buffer },
        ...{ difference: difference.buffer, mean: mean.buffer, square: square.buffer },
      },
      params: {
        ...{ rows, columns, group, groups: Math.ceil(columns / group), top: how.top, rate: how.rate },
        ...{ correction1: 1 / (1 - 0.9 ** step), correction2: 1 / (1 - 0.999 ** step), first: Number(step === 0) },
      },
      groups: spanGroups(rows * columns),
    });
  }
  const sum = gpu.buffer(bytes, "relaxed weights");
  gpu.run(await gpu.kernel("elementwise/binary", { flags: ["add"] }), {
    bind: { a: weight.buffer, b: difference.buffer, y: sum.buffer },
    params: {
      ...{ count: rows * columns, d1: 1, d2: 1, d3: rows * columns, scale: 1, accumulate: 0 },
      ...{ a0: 0, a1: 0, a2: 0, a3: 1, b0: 0, b1: 0, b2: 0, b3: 1 },
    },
    groups: spanGroups(rows * columns),
  });
  return sum;
}
