/**
 * An average of the weights after every step, held beside them and saved with the run; at the end it takes their place.
 *
 *   mean of all       avg <- (k avg + theta) / (k + 1)
 *   with a decay d    avg <- d avg + (1 - d) theta, an exponential moving average
 */

import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Programs } from "../programs.ts";
import { recordAddScaled } from "./add-scaled.ts";
import type { UpdateRule } from "./update-rule.ts";

export class WeightAverage implements UpdateRule {
  readonly name = "average";
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #programs: Programs;
  readonly #from: number;
  readonly #decay: number | undefined;
  #count = 0;

  /**
   * `from` is the first step whose weights count, 1 when left out; `decay` is that of a moving average, left out for
   * the mean. Throws UserError for weights in bf16: their mean would be rounded at every step.
   */
  constructor(
    gpu: Gpu,
    parameters: readonly Parameter[],
    { from = 1, decay }: { readonly from?: number; readonly decay?: number } = {},
  ) {
    const coarse = parameters.find(({ dtype }) => dtype !== "f32");
    if (coarse)
      throw new UserError(
        `${coarse.name} is held in ${coarse.dtype}; weights that are averaged must be f32`,
        "leave out --dtype bf16",
      );
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#parameters = parameters;
    this.#from = from;
    this.#decay = decay;
    this.kept = parameters.map(({ name, shape }) => new Parameter(gpu, `mean of ${name}`, shape, "f32", false));
  }

  async after(step: number): Promise<void> {
    if (step >= this.#from) await this.add();
  }

  state(): Json {
    return { count: this.#count };
  }
  load(state: Json): void {
    this.#count = (state as { count: number }).count;
  }

  /** Takes the weights as they are into the average. */
  async add(): Promise<void> {
    if (this.#count === 0) {
      for (const [i, { buffer, size }] of this.#parameters.entries())
        this.#gpu.copy(buffer, 0, this.kept[i]!.buffer, 0, 4 * size);
      this.#count = 1;
      return;
    }
    const { program } = await this.#programs.get("add", (rec) => {
      for (const [i, { name, shape, buffer }] of this.#parameters.entries()) {
        const x = rec.state(name, shape, buffer);
        const y = rec.state(`mean of ${name}`, shape, this.kept[i]!.buffer);
        recordAddScaled(rec, x, y);
      }
    });
    const k = this.#count++;
    const [a, b] = this.#decay === undefined ? [1 / (k + 1), k / (k + 1)] : [1 - this.#decay, this.#decay];
    program.run({ a, b });
  }

  /** The average takes the weights' place. */
  end(): void {
    if (this.#count === 0) return;
    for (const [i, { buffer, size }] of this.#parameters.entries())
      this.#gpu.copy(this.kept[i]!.buffer, 0, buffer, 0, 4 * size);
  }

  free(): void {
    this.#programs.free();
    for (const parameter of this.kept) parameter.free();
  }
}
