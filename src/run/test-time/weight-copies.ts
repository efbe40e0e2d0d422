/** Copies of weights that nothing trains: the source model, a mean teacher, a place to come back to. */
import type { Gpu } from "../../gpu/gpu.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";
import { recordAddScaled } from "../training/add-scaled.ts";

/** Weights that a pass takes in the place of the model's own. */
export type Wearing = (rec: Recorder) => ReadonlyMap<Parameter, Parameter | Tensor>;

export class WeightCopies {
  /** By the weight that each is a copy of. */
  readonly of: ReadonlyMap<Parameter, Parameter>;
  readonly #gpu: Gpu;
  readonly #programs: Programs;

  /** Copies f32 weights as they are now. `what` tells them from others in labels. */
  constructor(gpu: Gpu, parameters: readonly Parameter[], what: string) {
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.of = new Map(
      parameters.map((parameter) => [
        parameter,
        new Parameter(gpu, `${what} ${parameter.name}`, parameter.shape, "f32", false),
      ]),
    );
    this.take();
  }

  readonly wearing: Wearing = () => this.of;

  /** Takes the weights as they are. */
  take(): void {
    for (const [from, to] of this.of) this.#gpu.copy(from.buffer, 0, to.buffer, 0, from.bytes);
  }

  /** Gives them back to the weights that they are copies of. */
  give(): void {
    for (const [to, from] of this.of) this.#gpu.copy(from.buffer, 0, to.buffer, 0, from.bytes);
  }

  /** copy <- momentum copy + (1 - momentum) weight, of the weights that `only` lets through. */
  async follow(momentum: number, only: (parameter: Parameter) => boolean = () => true): Promise<void> {
    const followed = [...this.of].filter(([weight]) => only(weight));
    const { program } = await this.#programs.get(followed.map(([{ name }]) => name).join(), (rec) => {
      for (const [{ name, shape, buffer }, copy] of followed)
        recordAddScaled(rec, rec.state(name, shape, buffer), rec.state(copy.name, shape, copy.buffer));
    });
    if (program.dynamicNames.length > 0) program.run({ a: 1 - momentum, b: momentum });
  }

  free(): void {
    this.#programs.free();
    for (const copy of this.of.values()) copy.free();
  }
}
