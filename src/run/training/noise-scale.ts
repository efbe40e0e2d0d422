/**
 * The gradient noise scale: the batch size at which the noise of a step's gradient is as large as the gradient.
 * McCandlish et al. 2018, https://arxiv.org/abs/1812.06162, appendix A.1.
 *
 * While the gradients of the micro-batches add up, the squared length of what there is with a share f of all that
 * counts (C tokens or examples) is f^2 |G|^2 + f S / C in the mean, with G the true gradient and S the sum of variances
 * of that of one token or example. So each partial sum, with the whole, gives an estimate of both; those of a step are
 * averaged, and the scale S / |G|^2 is the ratio of moving averages over steps, since a ratio of single steps is
 * biased. A copy of no gradient is needed.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { Programs } from "../programs.ts";
import { recordGradientNorm } from "./gradient-norm.ts";

/** Of the averages over steps. */
const KEEP = 0.95;

/** The length of what the gradients hold once a share of the step's counted tokens or examples has added to it. */
export interface PartialNorm {
  readonly share: number;
  readonly norm: number;
}

/**
 * |G|^2 and S of a step whose partial sums have these lengths, the last of them that of the whole, with `counted`
 * tokens or examples; undefined where there is no part beside the whole.
 */
export function signalAndNoise(
  partial: readonly PartialNorm[],
  counted: number,
): { readonly signal: number; readonly noise: number } | undefined {
  const parts = partial.slice(0, -1).filter(({ share }) => share > 0 && share < 1);
  const whole = partial.at(-1);
  if (!whole || parts.length === 0) return undefined;
  const square = whole.norm ** 2;
  const found = parts.map(({ share, norm }) => (norm ** 2 - share ** 2 * square) / (share - share ** 2));
  const noise = found.reduce((sum, x) => sum + x, 0) / found.length;
  return { signal: square - noise, noise: counted * noise };
}

export class NoiseScale {
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #programs: Programs;
  readonly #norm: PooledBuffer;
  #signal = 0;
  #noise = 0;

  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    this.#gpu = gpu;
    this.#parameters = parameters;
    this.#programs = new Programs(gpu);
    this.#norm = gpu.upload(new Float32Array(4), "norm of gradients so far");
  }

  /** The length of the gradients as they are now, which arrives later. */
  async measure(): Promise<{ readonly norm: Promise<number> }> {
    const { program } = await this.#programs.get("norm", (rec) => {
      const gradients = this.#parameters.map(({ name, shape, gradient }) =>
        rec.state(`gradient of ${name}`, shape, gradient),
      );
      recordGradientNorm(rec, gradients, rec.state("norm", [3], this.#norm.buffer));
    });
    program.run();
    return { norm: this.#gpu.readFloats(this.#norm.buffer, 1).then(([norm]) => norm!) };
  }

  /** Figures of a step for the log; the scale only where the averages so far show a gradient beside the noise. */
  heard(partial: readonly PartialNorm[], counted: number): Record<string, number> {
    const found = signalAndNoise(partial, counted);
    if (!found) return {};
    this.#signal = KEEP * this.#signal + (1 - KEEP) * found.signal;
    this.#noise = KEEP * this.#noise + (1 - KEEP) * found.noise;
    const isSeen = this.#signal > 0 && this.#noise > 0;
    return {
      gradient_signal: found.signal,
      gradient_noise: found.noise,
      ...(isSeen ? { noise_scale: this.#noise / this.#signal } : {}),
    };
  }

  free(): void {
    this.#programs.free();
    this.#norm.free();
  }
}
