/**
 * The diagonal of the Hessian of a step's loss, by Hutchinson's estimator: u * H u for normal u, whose mean it is. H u
 * is a central difference of gradients, (g(w + d u) - g(w - d u)) / 2 d, so that a step takes two more passes.
 *
 *   h <- keep h + (1 - keep) u * H u
 *
 * Memory: a copy of the weights and one of the gradients.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { add, mul, scale, sub } from "../../tensor/ops/elementwise.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import { Programs } from "../programs.ts";
import { Perturbation } from "./perturbation.ts";

export interface CurvatureOptions {
  /** Where each parameter's estimate lies, (size) f32. */
  readonly held: ReadonlyMap<Parameter, GPUBuffer>;
  /** d */
  readonly distance: number;
  readonly keep: number;
  /** Steps from one estimate to the next; the first step is one. */
  readonly every: number;
}

export class Curvature {
  readonly #options: CurvatureOptions;
  readonly #moves: Perturbation;
  readonly #programs: Programs;

  private constructor(gpu: Gpu, options: CurvatureOptions) {
    this.#options = options;
    this.#moves = new Perturbation(gpu, [...options.held.keys()], ["weights", "ahead"]);
    this.#programs = new Programs(gpu);
  }

  /** Takes all memory that it will need. Throws UserError for weights in bf16. */
  static async make(gpu: Gpu, options: CurvatureOptions): Promise<Curvature> {
    const made = new Curvature(gpu, options);
    await made.#taking();
    return made;
  }

  get bytes(): number {
    return this.#moves.bytes + this.#programs.slots.bytes;
  }

  isDue(step: number): boolean {
    return (step - 1) % this.#options.every === 0;
  }

  /** Takes an estimate in; `gradients` makes those of the weights as they are. The weights stay, bit for bit. */
  async measure(seed: number, gradients: () => Promise<void>): Promise<void> {
    const { distance } = this.#options;
    this.#moves.save();
    await this.#moves.noise(distance, seed);
    await gradients();
    this.#moves.keep("ahead");
    this.#moves.restore();
    await this.#moves.noise(-distance, seed);
    await gradients();
    (await this.#taking()).run();
    this.#moves.restore();
  }

  /** Takes the estimates in, while the weights are behind and the gradients are theirs. */
  async #taking(): Promise<Program> {
    const { held, distance, keep } = this.#options;
    const [weights, ahead] = [this.#moves.kept("weights"), this.#moves.kept("ahead")];
    const { program } = await this.#programs.get("take", (rec) => {
      for (const [parameter, buffer] of held) {
        const { name, shape, size } = parameter;
        const h = rec.state(`curvature of ${name}`, shape, buffer);
        const start = rec.state(`${name} at the start`, shape, weights.get(parameter)!);
        const moved = sub(rec, start, rec.state(name, shape, parameter.buffer)); // d u
        const change = sub(
          rec,
          rec.state(`gradient of ${name} ahead`, shape, ahead.get(parameter)!),
          rec.state(`gradient of ${name}`, shape, parameter.gradient),
        );
        const found = scale(rec, mul(rec, moved, change), (1 - keep) / (2 * distance * distance));
        const next = add(rec, scale(rec, h, keep), found);
        rec.step({
          kernel: "recorder/add-into",
          bind: { x: next, y: h },
          params: { n: size, accumulate: 0 },
          groups: spanGroups(Math.ceil(size / 4)),
        });
      }
    });
    return program;
  }

  free(): void {
    this.#programs.free();
    this.#moves.free();
  }
}
