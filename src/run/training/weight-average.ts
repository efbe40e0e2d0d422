/** Running mean of the weights, avg <- (k avg + theta) / (k + 1), in memory of its own that is saved with the run. */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Program, profileOf } from "../../tensor/program.ts";
import { dynamic, Recorder, spans } from "../../tensor/recorder.ts";

export class WeightAverage {
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  #program: Program | undefined;
  #count = 0;

  /** Throws UserError for weights in bf16: their mean would be rounded at every step. */
  constructor(gpu: Gpu, parameters: readonly Parameter[]) {
    const coarse = parameters.find(({ dtype }) => dtype !== "f32");
    if (coarse)
      throw new UserError(`${coarse.name} is held in ${coarse.dtype}, too coarse to average`, "leave out --dtype bf16");
    this.#gpu = gpu;
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
    if (!this.#program) {
      const rec = new Recorder(profileOf(this.#gpu), { training: false });
      for (const [i, { name, shape, size, buffer }] of this.#parameters.entries()) {
        rec.step({
          kernel: "training/add-scaled",
          bind: { x: rec.state(name, shape, buffer), y: rec.state(`mean of ${name}`, shape, this.kept[i]!.buffer) },
          params: { n: size, a: dynamic("a"), b: dynamic("b") },
          groups: spans(size),
        });
      }
      this.#program = await Program.compile(this.#gpu, rec);
    }
    const k = this.#count++;
    this.#program.run({ a: 1 / (k + 1), b: k / (k + 1) });
  }

  /** The mean takes the weights' place. */
  apply(): void {
    if (this.#count === 0) return;
    for (const [i, { buffer, size }] of this.#parameters.entries())
      this.#gpu.copy(this.kept[i]!.buffer, 0, buffer, 0, 4 * size);
  }

  free(): void {
    this.#program?.free();
    for (const parameter of this.kept) parameter.free();
  }
}
