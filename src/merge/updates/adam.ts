/** Steps of Adam on an array on the GPU, for methods that find an update by descent. Kingma and Ba, arXiv:1412.6980. */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";

const BETA1 = 0.9;
const BETA2 = 0.999;
const EPS = 1e-8;

/** Steps recorded before waiting for them, so that the queue of a large tensor stays short. */
const STEPS_AHEAD = 32;

export interface Descent {
  /** Number of values. */
  readonly size: number;
  readonly steps: number;
  readonly lr: number;
  readonly label: string;
  /** Records what fills `gradient` (size) f32 with the gradient at `x`. */
  gradient(x: GPUBuffer, gradient: GPUBuffer): Promise<void>;
  /** Records what follows each step. */
  after?(x: GPUBuffer): Promise<void>;
}

/** A buffer of zeros. */
function zeros(gpu: Gpu, size: number, label: string): PooledBuffer {
  const held = gpu.buffer(4 * size, label);
  gpu.clear(held.buffer, 4 * size);
  return held;
}

/** Descends from zeros; the caller frees what it gives. Device memory: 16 bytes per value, 12 of them for a while. */
export async function descend(gpu: Gpu, { size, steps, lr, label, gradient, after }: Descent): Promise<PooledBuffer> {
  const adam = await gpu.kernel("merge/adam");
  const x = zeros(gpu, size, `${label} change`);
  using g = gpu.buffer(4 * size, `${label} gradient`);
  using m = zeros(gpu, size, `${label} mean`);
  using v = zeros(gpu, size, `${label} square`);
  try {
    for (let t = 1; t <= steps; t++) {
      await gradient(x.buffer, g.buffer);
      gpu.run(adam, {
        bind: { g: g.buffer, x: x.buffer, m: m.buffer, v: v.buffer },
        params: {
          n: size,
          step_size: lr / (1 - BETA1 ** t),
          correction: 1 / (1 - BETA2 ** t),
          beta1: BETA1,
          beta2: BETA2,
          eps: EPS,
        },
        groups: spanGroups(Math.ceil(size / 4)),
      });
      await after?.(x.buffer);
      if (t % STEPS_AHEAD === 0) await gpu.readFloats(x.buffer, 1);
    }
  } catch (error) {
    x.free();
    throw error;
  }
  return x;
}
