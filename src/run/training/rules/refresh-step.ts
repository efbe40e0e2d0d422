/**
 * Before each step, a small move of the weights uphill on the same rows, less where weights matter: what was learnt
 * lately is unlearned a little and learnt again. Refresh learning, Wang et al., ICLR 2024,
 * https://arxiv.org/abs/2403.13249, after the authors' code:
 *
 *   w <- w + delta (||w|| g / ||g|| + noise N(0, 1)) / (1 + 0.001 F)     for each tensor w with its gradient g
 *
 * The authors take g from a step of SGD uphill, whose rate cancels. GPU memory: scratch of the size of the weights.
 */
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { addScalar, clamp, div, mul, scale, sqrt } from "../../../tensor/ops/elementwise.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { dynamic } from "../../../tensor/recorder.ts";
import { stretches } from "../../../tensor/stretches.ts";
import { Programs } from "../../programs.ts";
import { recordAddScaled } from "../add-scaled.ts";
import type { Pass, UpdateRule } from "../update-rule.ts";

/** Weight of the importances, as in the authors' code. */
const BY_IMPORTANCE = 1e-3;

/** The smallest and the largest length that is divided by. */
const [LEAST, MOST] = [1e-20, 3.4e38];

export interface RefreshOptions {
  readonly delta: number;
  readonly noise: number;
  readonly seed: number;
  /** The part of the objective whose rows are refreshed. */
  readonly part: string;
  /** (size) f32 of every weight; all 0 when left out. */
  readonly importances?: ((parameter: Parameter) => GPUBuffer) | undefined;
}

export class RefreshStep implements UpdateRule {
  readonly name = "refresh";
  readonly parts: readonly string[];
  readonly #parameters: readonly Parameter[];
  readonly #options: RefreshOptions;
  readonly #programs: Programs;

  /** Throws UserError for weights in bf16: a small move would be rounded off. */
  constructor(gpu: Gpu, parameters: readonly Parameter[], options: RefreshOptions) {
    const coarse = parameters.find(({ dtype }) => dtype !== "f32");
    if (coarse)
      throw new UserError(
        `${coarse.name} is held in ${coarse.dtype}; weights that are refreshed by small moves must be f32`,
        "leave out --dtype bf16",
      );
    this.parts = [options.part];
    this.#parameters = parameters;
    this.#options = options;
    this.#programs = new Programs(gpu);
  }

  async part(step: number, pass: Pass): Promise<void> {
    await pass({ fresh: true, report: false });
    await this.move(step);
    await pass({ fresh: true, report: true });
  }

  /** Moves the weights along the gradients as they are. */
  async move(step: number): Promise<void> {
    const { delta, seed } = this.#options;
    const { program } = await this.#programs.get("move", (rec) => {
      for (const [key, { name, shape, size, buffer, gradient }] of this.#parameters.entries()) {
        const w = rec.state(name, shape, buffer);
        const g = rec.state(`gradient of ${name}`, shape, gradient);
        const length = div(rec, sqrt(rec, dot(rec, w, w)), clamp(rec, sqrt(rec, dot(rec, g, g)), LEAST, MOST)); // (1)
        const along = mul(rec, g, length);
        for (const { index, count: n, of } of stretches(rec, size))
          rec.step({
            kernel: "training/add-noise",
            bind: { y: of(along) },
            params: {
              ...{ n, sigma: this.#options.noise, seed: dynamic("seed") },
              key: key + index * this.#parameters.length,
            },
            groups: spanGroups(n),
          });
        const found = this.#options.importances?.(this.#parameters[key]!);
        const importance = found && rec.state(`importance of ${name}`, shape, found);
        const move = importance ? div(rec, along, addScalar(rec, scale(rec, importance, BY_IMPORTANCE), 1)) : along;
        recordAddScaled(rec, move, w);
      }
    });
    program.run({ a: delta, b: 1, seed: (Math.imul(seed, 0x9e3779b9) + step) >>> 0 });
  }

  free(): void {
    this.#programs.free();
  }
}
