/**
 * The eigenvalue of largest magnitude of the Hessian of a loss, by power iteration; products with the Hessian are
 * central differences of gradients, and no second derivative is recorded.
 *
 *   H v ~ (grad L(w + d v) - grad L(w - d v)) / (2 d),  |v| = 1,  d = 1e-3 |w|
 *
 * What is stated as its error is the residual |H v - lambda v|: some eigenvalue is no further from lambda than that,
 * but for the error of the differences. A residual that stays large says that there are several of like size.
 *
 * GPU memory: three copies of what is trained.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { Perturbation } from "../training/perturbation.ts";
import type { ProbeLoss } from "./probe-loss.ts";

/** Of the weights' norm, how far they are moved for a difference. */
export const DISTANCE = 1e-3;

export interface CurvatureOptions {
  readonly iterations: number;
  readonly seed: number;
}

export interface Curvature {
  readonly eigenvalue: number;
  readonly residual: number;
}

const [DIRECTION, AHEAD] = ["direction", "ahead"];

export class CurvatureProbe {
  readonly #loss: ProbeLoss;
  readonly #moved: Perturbation;
  readonly #options: CurvatureOptions;

  /** Throws UserError for weights that are not f32. */
  constructor(gpu: Gpu, loss: ProbeLoss, options: CurvatureOptions) {
    this.#loss = loss;
    this.#options = options;
    this.#moved = new Perturbation(gpu, loss.parameters, ["weights", DIRECTION, AHEAD]);
  }

  get bytes(): number {
    return this.#moved.bytes;
  }

  /** Weights are afterwards as they were, to the bit. */
  async measure(): Promise<Curvature> {
    const moved = this.#moved;
    const { iterations, seed } = this.#options;
    const distance = DISTANCE * Math.max(await moved.length(), 1e-12);
    moved.save();
    await moved.draw(DIRECTION, seed);
    let [kept, both, own] = [0, 0, 0];
    for (let i = 0; i < iterations; i++) {
      await moved.along(distance, DIRECTION);
      this.#loss.gradients();
      moved.restore();
      moved.keep(AHEAD);
      await moved.along(-distance, DIRECTION);
      this.#loss.gradients();
      moved.restore();
      await moved.mix(AHEAD, 1 / (2 * distance), -1 / (2 * distance)); // the gradients are H v now
      if (i === iterations - 1) ({ kept, both, own } = await moved.products(DIRECTION));
      else moved.keep(DIRECTION);
    }
    if (kept === 0) return { eigenvalue: 0, residual: 0 }; // a loss without curvature
    const eigenvalue = both / Math.sqrt(kept);
    return { eigenvalue, residual: Math.sqrt(Math.max(0, own - eigenvalue ** 2)) };
  }

  free(): void {
    this.#moved.free();
  }
}
