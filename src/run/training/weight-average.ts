/**
 * An average of the weights after every step, held beside them and saved with the run; at the end it takes their place.
 *
 *   mean of all       avg <- (k avg + theta) / (k + 1)
 *   with a decay d    avg <- d avg + (1 - d) theta, an exponential moving average
 *
 * It begins with the weights after the first step that counts, or with those before any step.
 */

import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import { Parameter } from "../../tensor/parameter.ts";
import { Programs } from "../programs.ts";
import { recordAddScaled } from "./add-scaled.ts";
import type { UpdateRule } from "./update-rule.ts";

/** Throws UserError for weights in bf16: their average would be rounded at every step. */
export function refuseCoarse(parameters: readonly Parameter[]): void {
  const coarse = parameters.find(({ dtype }) => dtype !== "f32");
  if (coarse)
    throw new UserError(
      `${coarse.name} is held in ${coarse.dtype}; weights that are averaged must be f32`,
      "leave out --dtype bf16",
    );
}

export interface AverageOptions {
  /** The first step whose weights count; 1 when left out. */
  readonly from?: number;
  /** Whether the average begins with the weights before the first step. */
  readonly fromStart?: boolean;
  /** Of a moving average; the mean of all when left out. */
  readonly decay?: number;
  readonly name?: string;
}

export class WeightAverage implements UpdateRule {
  readonly name: string;
  readonly kept: readonly Parameter[];
  readonly #gpu: Gpu;
  readonly #parameters: readonly Parameter[];
  readonly #programs: Programs;
  readonly #from: number;
  readonly #fromStart: boolean;
  readonly #decay: number | undefined;
  #count = 0;

  /** Throws UserError for weights in bf16. */
  constructor(
    gpu: Gpu,
    parameters: readonly Parameter[],
    { from = 1, fromStart = false, decay, name = "average" }: AverageOptions = {},
  ) {
    refuseCoarse(parameters);
    this.name = name;
    this.#fromStart = fromStart;
    this.#gpu = gpu;
    this.#programs = new Programs(gpu);
    this.#parameters = parameters;
    this.#from = from;
    this.#decay = decay;
    this.kept = parameters.map(({ name, shape }) => new Parameter(gpu, `mean of ${name}`, shape, "f32", false));
  }

  before(): void {
    if (this.#fromStart && this.#count === 0) this.#begin();
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
    if (this.#count === 0) return this.#begin();
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

  #begin(): void {
    for (const [i, { buffer, size }] of this.#parameters.entries())
      this.#gpu.copy(buffer, 0, this.kept[i]!.buffer, 0, 4 * size);
    this.#count = 1;
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
