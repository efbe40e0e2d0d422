/**
 * A number for each row of the training data that lasts from one visit to the next, for losses that treat rows by what
 * was seen of them. It lies on the GPU, is read and set within a step, and is saved with the run. 4 bytes a row.
 */
import type { Batch } from "../../data/batch.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { embedding, setRows } from "../../tensor/ops/embedding.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { UpdateRule } from "./update-rule.ts";

const [READ, SET] = ["rows read", "rows set"];

export class RowNumbers implements UpdateRule {
  readonly name = "row-numbers";
  readonly kept: readonly [Parameter];
  readonly #gpu: Gpu;
  readonly #ids: ReadonlyMap<string, number>;

  /** `places` are those of the rows, each its own; every row begins with `first`. */
  constructor(gpu: Gpu, places: readonly string[], first: number) {
    this.#gpu = gpu;
    this.#ids = new Map(places.map((place, id) => [place, id]));
    const table = new Parameter(gpu, "numbers of rows", [places.length, 1], "f32", false);
    table.write(new Float32Array(places.length).fill(first));
    this.kept = [table];
  }

  get bytes(): number {
    return this.kept[0].bytes;
  }

  /** The numbers of a batch's rows (N), and what sets them anew. */
  record(rec: Recorder, { rows }: Batch): { readonly before: Tensor; set(now: Tensor): void } {
    const [table] = this.kept;
    const held = rec.parameter(table);
    const [read, set] = [READ, SET].map((name) => rec.input(name!, [rows], "i32"));
    const before = rec.reshape(embedding(rec, read!, held), [rows]);
    return {
      before,
      set(now) {
        setRows(rec, set!, now, held);
      },
    };
  }

  /** A row that a batch shows twice is set by its first visit. Throws TypeError for rows that it does not know. */
  fill(program: Program, batch: Batch): void {
    const places = "places" in batch ? batch.places : [];
    const ids = places.map((place) => this.#ids.get(place));
    if (places.length !== batch.rows || ids.includes(undefined)) throw new TypeError("rows have no known places");
    program.write(READ!, Int32Array.from(ids as number[]));
    program.write(
      SET!,
      Int32Array.from(ids as number[], (id, i) => (ids.indexOf(id) === i ? id : -1)),
    );
  }

  /** The number of every row, in the order of their places. */
  async numbers(): Promise<Map<string, number>> {
    const values = await this.#gpu.readFloats(this.kept[0].buffer, this.kept[0].size);
    return new Map([...this.#ids].map(([place, id]) => [place, values[id]!]));
  }

  free(): void {
    this.kept[0].free();
  }
}
