/** Adam on buffers of the GPU, at once: Kingma and Ba, https://arxiv.org/abs/1412.6980, with its constants. */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { spanGroups } from "../gpu/grid.ts";

const [BETA1, BETA2, EPS] = [0.9, 0.999, 1e-8];

interface State {
  readonly m: PooledBuffer;
  readonly v: PooledBuffer;
  steps: number;
}

export class AdamOnGpu implements Disposable {
  readonly gpu: Gpu;
  readonly #lr: number;
  readonly #states = new Map<string, State>();

  constructor(gpu: Gpu, lr: number) {
    this.gpu = gpu;
    this.#lr = lr;
  }

  [Symbol.dispose](): void {
    for (const { m, v } of this.#states.values()) {
      m.free();
      v.free();
    }
  }

  /** Moves x (n) against its gradient; `name` is that of its moments. */
  async step(name: string, x: PooledBuffer, gradient: PooledBuffer): Promise<void> {
    const { gpu } = this;
    const n = x.bytes / 4;
    let state = this.#states.get(name);
    if (!state) {
      state = { m: gpu.buffer(x.bytes, `${name}: mean`), v: gpu.buffer(x.bytes, `${name}: mean square`), steps: 0 };
      for (const { buffer } of [state.m, state.v]) gpu.clear(buffer, x.bytes);
      this.#states.set(name, state);
    }
    state.steps++;
    const moments = { m: state.m.buffer, v: state.v.buffer };
    gpu.run(await gpu.kernel("merge/adam"), {
      bind: { g: gradient.buffer, x: x.buffer, ...moments },
      params: {
        ...{ n, step_size: this.#lr / (1 - BETA1 ** state.steps), correction: 1 / (1 - BETA2 ** state.steps) },
        ...{ beta1: BETA1, beta2: BETA2, eps: EPS },
      },
      groups: spanGroups(n, 4096),
    });
  }
}
