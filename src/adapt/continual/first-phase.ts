/**
 * A phase at the beginning of a stage in which no label is looked at: a row and a changed view of it are drawn
 * together, and all other rows and views of the batch apart. Chen et al., ICML 2020, https://arxiv.org/abs/2002.05709,
 * of what the head reads: the paper's projection is left out, and the row itself is one of the two views.
 */
import { UserError } from "../../errors.ts";
import { positivesOf, unitRows } from "../../run/training/contrastive.ts";
import { type Changes, fillChanged, otherView, recordChanged } from "./changed-rows.ts";
import type { StageWork, Stream, Term, TermRows } from "./contract.ts";
import { contrastiveViews } from "./prototype-losses.ts";

/** Throws UserError where a loss of all rows of a batch would be one of a part of them. `what` compares them. */
export function expectWhole({ hidden }: TermRows, rows: number, what: string): void {
  if (hidden.shape[0] === rows) return;
  throw new UserError(
    `${what} compares all ${rows} rows of a batch with each other, which are too many`,
    "lower --batch-size",
  );
}

const [VIEW, POSITIVES] = ["view ", "positives of views"];

export interface Alike {
  readonly changes: Changes;
  /** Temperature. */
  readonly tau: number;
}

/** A row and its changed view are alike, among all rows and views of a batch; no label is looked at. */
export const alike = ({ model, seed }: Stream<unknown>, { changes, tau }: Alike): Term => ({
  name: "self_supervised",
  weight: 1,
  record(rec, { batch }) {
    const n = batch.refs.length;
    const positives = rec.input(POSITIVES, [2 * n, 2 * n]);
    return {
      along: [recordChanged(rec, model, batch, VIEW)],
      rows(rec, given) {
        expectWhole(given, n, "the phase without labels");
        const views = [given.hidden, given.along[0]!].map((x) => unitRows(rec, x));
        return contrastiveViews(rec, views[0]!, views[1]!, positives, tau);
      },
    };
  },
  fill(program, batch) {
    const own = [...batch.refs.keys()];
    program.write(POSITIVES, positivesOf([...own, ...own]));
    fillChanged(program, batch, otherView(batch, changes, seed, "alike"), VIEW);
  },
});

/** A stage whose first steps have a term of their own, and none of the others. */
export function withPhase(work: StageWork, share: number, first: Term): StageWork {
  let batches = 0;
  const later = (work.terms ?? []).map((term): Term => ({ ...term, active: (place) => place >= batches }));
  return {
    ...work,
    terms: [{ ...first, active: (place) => place < batches }, ...later],
    planned(steps, accumulate) {
      batches = Math.round(share * steps) * accumulate;
    },
  };
}
