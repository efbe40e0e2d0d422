/**
 * How often each layer runs for a prompt, as routers say: one pass over the prompts, in which all turns are computed.
 */
import { collate } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { scale } from "../../tensor/ops/elementwise.ts";
import type { SlotPool } from "../../tensor/slots.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import type { Routers } from "./routers.ts";

const nameOf = (layer: number): string => `choice ${layer}`;

/** Routes prompts of a model. To be freed; the routers are the caller's. */
export class PromptRouter {
  readonly #model: Model;
  readonly #routers: Routers;
  readonly #dial: number;
  readonly #programs: Programs;

  constructor(model: Model, routers: Routers, dial: number, slots?: SlotPool) {
    this.#model = model;
    this.#routers = routers;
    this.#dial = dial;
    this.#programs = new Programs(model.gpu, { slots });
  }

  /** For every prompt, how often each layer runs. */
  async route(prompts: readonly (readonly number[])[]): Promise<number[][]> {
    const { layers } = this.#model.sizes;
    const batch = collate(
      prompts.map((prompt) => {
        const ids = Int32Array.from(prompt);
        return [{ ids, labels: ids, group: 0, place: "prompt" }];
      }),
    );
    const { program } = await this.#programs.get(`${batch.rows} ${batch.length}`, (rec) => {
      const inputs = recordInputs(rec, batch);
      const depth = this.#routers.depth(this.#dial, (layer, choice) => {
        rec.output(nameOf(layer), scale(rec, choice, 1));
      });
      this.#model.record(rec, inputs, { depth: depth.record(rec, inputs) });
    });
    fillInputs(program, batch);
    this.#routers.depth(this.#dial).fill(program, batch);
    await program.start();
    const choices = await Promise.all(Array.from({ length: layers }, (_, layer) => program.read(nameOf(layer))));
    return prompts.map((_, row) => choices.map((marks) => marks.subarray(3 * row, 3 * row + 3).indexOf(1)));
  }

  free(): void {
    this.#programs.free();
  }
}
