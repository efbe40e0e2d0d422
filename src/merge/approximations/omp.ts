/**
 * Orthogonal matching pursuit: a row of the donor as a sparse combination of its rows of shared tokens; the same
 * combination of the model's rows is the new one.
 *
 * Goddard and Fernandes Neto 2025, Training-Free Tokenizer Transplantation via Orthogonal Matching Pursuit,
 * https://arxiv.org/abs/2506.06607. Each step takes the shared token whose donor row has the largest |inner product|
 * with the residual (rows are not normalised, the first of equals wins) and solves for all that were taken. Inner
 * products are f32 on the GPU, least squares f64 on the host. A row that fewer than k tokens explain takes no more.
 */
import { approximation, type TableQuestion } from "../approximation.ts";
import { CachedRows } from "../transplant/cached-rows.ts";
import { NEIGHBOURS } from "../transplant/options.ts";
import { Pursuit } from "../transplant/pursuit.ts";
import { SharedSearch } from "../transplant/shared-search.ts";
import type { Mix } from "../vocabulary/mixed-table.ts";

/** Bytes of the orthogonal bases of a batch of rows. */
const BASES = 1 << 27;
const MOST_ROWS = 256;

/** The combinations of rows [first, end) of the wanted tokens, in places of `shared`. */
async function combinations(
  { donor, wanted, signal }: TableQuestion,
  { search, atoms }: { readonly search: SharedSearch; readonly atoms: CachedRows },
  { first, end, k }: { readonly first: number; readonly end: number; readonly k: number },
): Promise<Mix[]> {
  const { columns } = donor!;
  const targets = await donor!.gather(wanted.slice(first, end).map(({ id }) => id));
  const rows = Array.from({ length: end - first }, (_, i) => ({
    pursuit: new Pursuit(targets.subarray(i * columns, (i + 1) * columns)),
    taken: [] as number[],
    ended: false,
  }));
  for (let step = 0; step < k; step++) {
    signal.throwIfAborted();
    const open = rows.filter((row) => !row.ended && !row.pursuit.explained);
    if (open.length === 0) break;
    const values = new Float32Array(open.length * columns);
    for (const [i, { pursuit }] of open.entries()) values.set(pursuit.residual, i * columns);
    const best = await search.strongest(
      { count: open.length, values },
      open.map(({ taken }) => taken),
    );
    await atoms.load(best);
    for (const [i, row] of open.entries()) {
      if (best[i]! >= 0 && row.pursuit.add(atoms.row(best[i]!))) row.taken.push(best[i]!);
      else row.ended = true;
    }
  }
  return rows.map(({ taken, pursuit }) => ({ rows: taken, weights: pursuit.coefficients() }));
}

export const method = approximation({
  name: "omp",
  title: "Orthogonal matching pursuit",
  about: "the combination of shared tokens that best makes the token's row in the donor",
  cite: "arXiv:2506.06607",
  options: { terms: NEIGHBOURS },
  needs: ["donor"],
  async rows(question, { terms }) {
    const { donor, shared, wanted } = question;
    const count = Math.min(terms, shared.donor.length);
    const search = await SharedSearch.open(await question.gpu(), donor!, shared.donor);
    const atoms = new CachedRows(donor!, shared.donor);
    const batch = Math.max(1, Math.min(MOST_ROWS, Math.floor(BASES / (8 * count * donor!.columns))));
    const found: Mix[] = [];
    try {
      for (let first = 0; first < wanted.length; first += batch) {
        const end = Math.min(wanted.length, first + batch);
        for (const { rows, weights } of await combinations(question, { search, atoms }, { first, end, k: count }))
          found.push({ rows: Int32Array.from(rows, (place) => shared.own[place]!), weights });
        question.advance(end - first);
      }
    } finally {
      search.free();
    }
    return (place) => found[place]!;
  },
});
