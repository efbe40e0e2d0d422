/**
 * Steps of scales that an adapter asks for by the row, measured on the GPU before each of them. Memory: that of scaled
 * steps.
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import type { StepScale } from "../../../model/adapters/live-adapter.ts";
import { matrixOf } from "../../fisher/unit-products.ts";
import { Programs } from "../../programs.ts";
import { recordAddScaled } from "../add-scaled.ts";
import type { UpdateRule } from "../update-rule.ts";
import { UnitScales } from "./unit-scales.ts";

export class StepScales implements UpdateRule {
  readonly name = "adapter-scales";
  readonly #asked: readonly StepScale[];
  readonly #scales: UnitScales;
  readonly #programs: Programs;

  constructor(gpu: Gpu, asked: readonly StepScale[], seed: number) {
    this.#asked = asked;
    this.#programs = new Programs(gpu);
    const scales = asked.map(({ parameter }) => {
      const factors = new Float32Array(matrixOf(parameter.shape).rows).fill(1);
      return { parameter, along: "row" as const, factors };
    });
    this.#scales = new UnitScales(gpu, scales, { name: this.name, apply: "update", seed });
  }

  get bytes(): number {
    return this.#scales.bytes;
  }

  async before(): Promise<void> {
    const { program } = await this.#programs.get("measure", (rec) => {
      for (const [i, { name, shape, buffer }] of this.#scales.factors.entries())
        recordAddScaled(rec, this.#asked[i]!.record(rec), rec.state(name, shape, buffer));
    });
    program.run({ a: 1, b: 0 });
    await this.#scales.before();
  }

  after(step: number): Promise<void> {
    return this.#scales.after(step);
  }

  free(): void {
    this.#programs.free();
    this.#scales.free();
  }
}
