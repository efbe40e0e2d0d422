/** The mean of the features of each class, and the class of the nearest mean. */
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import { meanOf, unit } from "./buffer.ts";
import type { Stream } from "./contract.ts";
import { askRows } from "./outputs.ts";
import type { RowRef } from "./rows.ts";

const isMean = (entry: Json): entry is [number, number[]] =>
  Array.isArray(entry) &&
  typeof entry[0] === "number" &&
  Array.isArray(entry[1]) &&
  entry[1].every((value) => typeof value === "number");

export class ClassMeans {
  #of = new Map<number, Float64Array>();

  get isEmpty(): boolean {
    return this.#of.size === 0;
  }

  /** Measures the means of the classes of these rows, as the model is now. */
  async measure(
    stream: Pick<Stream<unknown>, "model" | "rows" | "batchSize" | "dry" | "signal">,
    refs: readonly RowRef[],
  ): Promise<void> {
    const features = await askRows(stream, refs, "features");
    const byClass = Map.groupBy(refs.keys(), (i) => stream.rows.labelOf(refs[i]!)!);
    this.#of = new Map([...byClass].map(([label, own]) => [label, unit(meanOf(own.map((i) => unit(features[i]!))))]));
  }

  /** The visible class of the nearest mean, for each row of (N, width); the first visible one where none has a mean. */
  classify(hidden: Float32Array, width: number, visible: readonly number[]): Int32Array {
    return Int32Array.from({ length: hidden.length / width }, (_, row) => {
      const feature = unit(hidden.subarray(row * width, (row + 1) * width));
      let best = { label: visible[0] ?? 0, distance: Number.POSITIVE_INFINITY };
      for (const label of visible) {
        const mean = this.#of.get(label);
        const distance = mean?.reduce((sum, x, i) => sum + (x - feature[i]!) ** 2, 0) ?? Number.POSITIVE_INFINITY;
        if (distance < best.distance) best = { label, distance };
      }
      return best.label;
    });
  }

  state(): Json {
    return [...this.#of].map(([label, mean]) => [label, [...mean]]);
  }

  /** Throws UserError for what is no state of it. */
  load(state: Json): void {
    if (!Array.isArray(state) || !state.every(isMean))
      throw new UserError("the saved means of classes cannot be read", "remove the state, and begin again");
    this.#of = new Map(state.map(([label, mean]) => [label, Float64Array.from(mean)]));
  }
}
