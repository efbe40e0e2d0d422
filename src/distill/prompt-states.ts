/** What a model's head would read of prompts, as means over their tokens. */
import { batchKey, collate } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import type { Model } from "../model/model.ts";
import { fillInputs, recordInputs } from "../run/batch-programs.ts";
import { Programs } from "../run/programs.ts";
import { mul, sumTo } from "../tensor/ops/elementwise.ts";

const SHARES = "prompt shares";

/** Reads prompts, some at a time. To be freed. */
export class PromptStates {
  readonly #model: Model;
  readonly #pad: number;
  readonly #programs: Programs;

  constructor(model: Model, pad: number) {
    this.#model = model;
    this.#pad = pad;
    this.#programs = new Programs(model.gpu);
  }

  /** (C) of each prompt. */
  async read(prompts: readonly Int32Array[]): Promise<Float32Array[]> {
    const rows = prompts.map((ids): Sequence[] => [{ ids, labels: ids, group: 0, place: "a prompt" }]);
    const batch = collate(rows, { pad: this.#pad });
    const { width } = this.#model.sizes;
    const grid = [batch.rows, batch.length, 1];
    const { program } = await this.#programs.get(batchKey(batch), (rec) => {
      const { hidden } = this.#model.record(rec, recordInputs(rec, batch));
      const each = mul(rec, rec.reshape(hidden, [batch.rows, batch.length, width]), rec.input(SHARES, grid));
      rec.output("states", rec.reshape(sumTo(rec, each, [batch.rows, 1, width]), [batch.rows, width]));
    });
    fillInputs(program, batch);
    const shares = new Float32Array(batch.rows * batch.length);
    for (const [row, { length }] of prompts.entries())
      shares.fill(1 / length, row * batch.length, row * batch.length + length);
    program.write(SHARES, shares);
    program.run();
    const states = await program.read("states");
    return prompts.map((_, row) => Float32Array.from(states.subarray(row * width, (row + 1) * width)));
  }

  free(): void {
    this.#programs.free();
  }
}
