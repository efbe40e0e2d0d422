/**
 * Two views of every row of numbers, each made by a corruption: what losses of views compare. Which views a row gets
 * follows from the seed, the row's place and how many batches were seen, which is saved with the run.
 */
import type { Batch } from "../../data/batch.ts";
import { isTokens } from "../../data/batch.ts";
import type { Corruption } from "../../data/corrupting/contract.ts";
import { corruptedNumbers } from "../../data/corrupting/numbers.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Inputs } from "../../model/architecture.ts";
import type { UpdateRule } from "../../run/training/update-rule.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";

const INPUT = "views";
const NAME = "two-views";

export interface ViewsBy {
  readonly corruption: Corruption;
  /** 1 to 5. */
  readonly severity: number;
  readonly range: readonly [low: number, high: number];
  readonly seed: number;
}

export class TwoViews implements UpdateRule {
  readonly name = NAME;
  readonly #by: ViewsBy;
  #batches = 0;

  constructor(by: ViewsBy) {
    this.#by = by;
  }

  /** Declares the inputs of both views of a batch: row i is the first of its row i, row B + i the second. */
  record(rec: Recorder, batch: Batch): Inputs {
    if (isTokens(batch) || "tokens" in batch) throw new TypeError("views are of numbers");
    return { batch: 2 * batch.rows, x: rec.input(INPUT, [2 * batch.rows, ...batch.shape]) };
  }

  /** Throws UserError for numbers that are no image, where the corruption is of images. */
  fill(program: Program, batch: Batch): void {
    if (isTokens(batch) || "tokens" in batch) throw new TypeError("views are of numbers");
    const { corruption, severity, range, seed } = this.#by;
    const amount = corruption.amounts[severity - 1]!;
    const { x, rows, places, shape } = batch;
    const width = x.length / rows;
    const both = new Float32Array(2 * x.length);
    for (let at = 0; at < 2 * rows; at++) {
      const row = at % rows;
      const random = new Random(seed, NAME, this.#batches, row, at < rows ? 0 : 1);
      const given = {
        amount,
        range,
        random,
        place: places[row] ?? `row ${row}`,
        ...(shape.length === 3 ? { shape } : {}),
      };
      both.set(corruptedNumbers(corruption, [...x.subarray(row * width, (row + 1) * width)], given), at * width);
    }
    program.write(INPUT, both);
    this.#batches++;
  }

  state(): Json {
    return { batches: this.#batches };
  }

  load(state: Json): void {
    if (!isObject(state) || typeof state.batches !== "number")
      throw new UserError(`the saved state of ${NAME} is of another kind`, "start anew, with --overwrite");
    this.#batches = state.batches;
  }
}
