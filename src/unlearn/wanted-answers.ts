/**
 * Answers that are wanted instead of those to forget, one for every row: in batches beside the rows, with theta0's
 * likelihoods.
 */
import { collate, type TokenBatch } from "../data/batch.ts";
import type { GroupReference } from "../data/groups.ts";
import { readRows } from "../data/read-rows.ts";
import type { LocatedRow, Row } from "../data/rows.ts";
import type { Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Json } from "../json.ts";
import { fillInputs, fillTargets } from "../run/batch-programs.ts";
import { likelihoods } from "../run/scoring/row-losses.ts";
import type { Program } from "../tensor/program.ts";
import type { Recorder } from "../tensor/recorder.ts";
import { longestOf } from "./batches.ts";
import type { Asking, Recording, RowNumbers } from "./capability.ts";
import { numbersOf } from "./likelihoods.ts";
import type { Answers } from "./preference-loss.ts";

type Completion = Extract<Row, { form: "completion" }>;

/** Rows of prompt and completion. Throws UserError, in the name of the method, for other rows. */
export async function* completions(
  groups: readonly GroupReference[],
  method: string,
): AsyncGenerator<LocatedRow & { readonly row: Completion }> {
  for (const group of groups)
    for await (const { row, place } of readRows(group)) {
      if (row.form !== "completion")
        throw new UserError(
          `${place}: ${method} needs rows of prompt and completion, found a row of ${row.form}`,
          "columns of other names are read so: --columns prompt=question,completion=answer",
        );
      yield { row, place };
    }
}

/** What the loss is given: the same rows, answered as they should be. */
export interface Wanted {
  readonly wanted: Answers;
}

const PREFIX = "wanted.";

/** Wanted answers in the recording of the forget term. */
export class WantedAnswers {
  /** One for every row to forget; of the largest lengths there may be until they are known. */
  sequences: readonly Sequence[];
  #reference: readonly number[] = [];
  readonly #pad: number;
  readonly #batches = new WeakMap<RowNumbers, TokenBatch>();

  /** `pad` is the id that fills up batches. */
  constructor(sequences: readonly Sequence[], pad: number) {
    this.sequences = sequences;
    this.#pad = pad;
  }

  /** Asks the model as it was how likely they are. */
  async ask({ model, ...how }: Asking): Promise<void> {
    this.#reference = await likelihoods(model, this.sequences, how);
  }

  beside(rows: RowNumbers): TokenBatch {
    let found = this.#batches.get(rows);
    if (!found) {
      const answerTo = (row: number | undefined) =>
        row === undefined ? longestOf(this.sequences) : this.sequences[row]!;
      found = collate(
        rows.map((row) => [answerTo(row)]),
        { pad: this.#pad },
      );
      this.#batches.set(rows, found);
    }
    return found;
  }

  record(rec: Recorder, { rows, nll }: Recording): Wanted {
    const wanted = { nll: nll(this.beside(rows), PREFIX), reference: rec.input(`${PREFIX}reference`, [rows.length]) };
    return { wanted };
  }

  fill(program: Program, rows: RowNumbers): void {
    const batch = this.beside(rows);
    fillInputs(program, batch, PREFIX);
    fillTargets(program, batch, PREFIX);
    program.write(`${PREFIX}reference`, numbersOf(rows, this.#reference));
  }

  state(): Json {
    return [...this.#reference];
  }
  load(state: Json): void {
    this.#reference = state as number[];
  }
}
