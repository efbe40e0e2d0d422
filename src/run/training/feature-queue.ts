/**
 * The features of the last rows that a training saw, with their labels, for losses that compare a row with others than
 * those of its batch. It lies on the GPU, takes in the rows of every pass and is saved with the run.
 *
 * A pass first takes in the rows of the pass before, then compares its own with what is there, and at last puts its own
 * aside; so nothing that the way back reads changes under it. Memory: (M + B) (C + 2) numbers for M rows of C numbers
 * and batches of B.
 */
import type { Batch } from "../../data/batch.ts";
import { targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { isObject, type Json } from "../../json.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { setRows } from "../../tensor/ops/embedding.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { UpdateRule } from "./update-rule.ts";

const [SLOTS, TAGS, OWN] = ["queue slots", "queue tags", "queue rows"];
const NAME = "feature-queue";

export interface QueueSizes {
  /** M, rows that it holds. */
  readonly rows: number;
  /** C, numbers of a row's features. */
  readonly width: number;
  /** B, most rows of a batch. */
  readonly batch: number;
}

/** What a recording sees of the queue. */
export interface QueueView {
  /** (M, C) f32, without gradient. */
  readonly features: Tensor;
  /** (M, 2) f32: label and number of each; a negative label: none is there. */
  readonly tags: Tensor;
  /** (N) i32: the numbers of the batch's own rows. */
  readonly own: Tensor;
}

export class FeatureQueue implements UpdateRule {
  readonly name = NAME;
  readonly kept: readonly [features: Parameter, tags: Parameter, aside: Parameter, asideTags: Parameter];
  readonly #sizes: QueueSizes;
  readonly #ids: ReadonlyMap<string, number>;
  /** Where the next row goes, and how many rows were put aside by the last pass. */
  #next = 0;
  #aside = 0;

  /** `places` are those of the rows, each its own. Throws UserError for batches that are larger than the queue. */
  constructor(gpu: Gpu, places: readonly string[], sizes: QueueSizes) {
    const { rows, width, batch } = sizes;
    if (batch > rows)
      throw new UserError(
        `a queue of ${rows} features is smaller than a batch of ${batch} rows`,
        "raise its length, or lower --batch-size",
      );
    this.#sizes = sizes;
    this.#ids = new Map(places.map((place, id) => [place, id]));
    const make = (name: string, shape: readonly number[], fill: number) => {
      const made = new Parameter(gpu, name, shape, "f32", false);
      made.write(new Float32Array(made.size).fill(fill));
      return made;
    };
    this.kept = [
      make("queue of features", [rows, width], 0),
      make("tags of the queue", [rows, 2], -1),
      make("features put aside", [batch, width], 0),
      make("tags put aside", [batch, 2], -1),
    ];
  }

  get bytes(): number {
    return this.kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Takes in the rows of the pass before, and shows what is there. To be recorded before what reads it. */
  record(rec: Recorder, { rows }: Batch): QueueView {
    const [features, tags, aside, asideTags] = this.kept.map((parameter) => rec.parameter(parameter));
    const slots = rec.input(SLOTS!, [this.#sizes.batch], "i32");
    setRows(rec, slots, aside!, features!);
    setRows(rec, slots, asideTags!, tags!);
    return { features: features!, tags: tags!, own: rec.input(OWN!, [rows], "i32") };
  }

  /** Puts the features (N, C) of a batch's rows aside, for the next pass to take in. */
  put(rec: Recorder, { rows }: Batch, features: Tensor): void {
    const [, , aside, asideTags] = this.kept;
    const order = rec.constant(
      Int32Array.from({ length: rows }, (_, i) => i),
      [rows],
      "rows in order",
    );
    setRows(rec, order, stopGradient(rec, features), rec.parameter(aside));
    setRows(rec, order, rec.input(TAGS!, [rows, 2]), rec.parameter(asideTags));
  }

  /** Throws TypeError for rows that it does not know. */
  fill(program: Program, batch: Batch): void {
    const { rows, batch: most } = this.#sizes;
    const places = "places" in batch ? batch.places : [];
    const own = places.flatMap((place) => this.#ids.get(place) ?? []);
    if (own.length !== batch.rows) throw new TypeError("rows have no known places");
    const slots = Int32Array.from({ length: most }, (_, i) => (i < this.#aside ? (this.#next + i) % rows : -1));
    program.write(SLOTS!, slots);
    program.write(OWN!, Int32Array.from(own));
    const targets = targetsOf(batch);
    program.write(TAGS!, Float32Array.from(own.flatMap((id, i) => [targets[i]!, id])));
    this.#next = (this.#next + this.#aside) % rows;
    this.#aside = batch.rows;
  }

  state(): Json {
    return { next: this.#next, aside: this.#aside };
  }

  load(state: Json): void {
    if (!isObject(state) || typeof state.next !== "number" || typeof state.aside !== "number")
      throw new UserError(`the saved state of ${NAME} is of another kind`, "start anew, with --overwrite");
    [this.#next, this.#aside] = [state.next, state.aside];
  }

  free(): void {
    for (const parameter of this.kept) parameter.free();
  }
}
