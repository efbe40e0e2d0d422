/** Running mean of the weights, avg <- (k avg + theta) / (k + 1), in memory of its own that is saved with the run. */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { dynamic, spans } from "../../tensor/recorder.ts";
import { Programs } from "../programs.ts";

export class WeightAverage {
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #programs: Programs;
  #count = 0;

  /** Throws UserError for weights in bf16: their mean would be rounded at every step. */
  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    const coarse = parameters.find(({ dtype }) => dtype !== "f32");
    if (coarse)
      throw new UserError(`${coarse.name} is held in ${coarse.dtype}, too coarse to average`, "leave out --dtype bf16");
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#parameters = parameters;
    this.kept = parameters.map(({ name, shape }) => new Parameter(gpu, `mean of ${name}`, shape, "f32", false));
  }

  get count(): number {
    return this.#count;
  }
  set count(count: number) {
    this.#count = count;
  }

  /** Takes the weights as they are into the mean. */
  async add(): Promise<void> {
    if (this.#count === 0) {
      for (const [i, { buffer, size }] of this.#parameters.entries())
        this.#gpu.copy(buffer, 0, this.kept[i]!.buffer, 0, 4 * size);
      this.#count = 1;
      return;
    }
    const { program } = await this.#programs.get("add", (rec) => {
      for (const [i, { name, shape, size, buffer }] of this.#parameters.entries()) {
        rec.step({
          kernel: "training/add-scaled",
          bind: { x: rec.state(name, shape, buffer), y: rec.state(`mean of ${name}`, shape, this.kept[i]!.buffer) },
          params: { n: size, a: dynamic("a"), b: dynamic("b") },
          groups: spans(size),
        });
      }
    });
    const k = this.#count++;
    program.run({ a: 1 / (k + 1), b: k / (k + 1) });
  }

  /** The mean takes the weights' place. */
  apply(): void {
    if (this.#count === 0) return;
    for (const [i, { buffer, size }] of this.#parameters.entries())
      this.#gpu.copy(this.kept[i]!.buffer, 0, buffer, 0, 4 * size);
  }

  free(): void {
    this.#programs.free();
    for (const parameter of this.kept) parameter.free();
  }
}
