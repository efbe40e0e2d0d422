/**
 * Graphs of skills from measured losses, for `--graph`. Row i: how much training on skill i helps skill j. Chen et al.
 * 2023, https://arxiv.org/abs/2307.14430.
 */
import { UserError } from "../errors.ts";

type Matrix = readonly (readonly number[])[];

function check(k: number, matrix: Matrix, what: string): void {
  if (matrix.length !== k || matrix.some((row) => row.length !== k)) {
    throw new UserError(`${what} are ${matrix.length} x ${matrix[0]?.length ?? 0}, expected ${k} x ${k}`);
  }
}

/**
 * Weights of the exact test. `start`[j] is the loss of skill j before any training, `alone`[j] after H steps on j,
 * `pairs`[i][j] the loss of j after H steps on i and j in halves. The drop d of a run gives A_ij = max(0, (d_j(i, j) -
 * d_j(j)) / d_j(j)), A_jj = 1. A skill that its own data do not improve is helped by none. K (K + 1) / 2 runs, since
 * pairs go both ways.
 */
export function exactGraph(start: readonly number[], alone: readonly number[], pairs: Matrix): number[][] {
  check(start.length, pairs, "losses of pairs");
  if (alone.length !== start.length)
    throw new UserError(`there are ${alone.length} losses of single skills, expected ${start.length}`);
  return pairs.map((row, i) =>
    row.map((loss, j) => {
      if (i === j) return 1;
      const own = start[j]! - alone[j]!;
      return own > 0 ? Math.max(0, (start[j]! - loss - own) / own) : 0;
    }),
  );
}

/**
 * The cheap approximation from K runs. `after`[i][j] is the loss of j after H steps on i alone: A_ij = max(0, 1 -
 * after_ij / start_j).
 */
export function approximateGraph(start: readonly number[], after: Matrix): number[][] {
  check(start.length, after, "losses of single skills");
  return after.map((row) => row.map((loss, j) => (start[j]! > 0 ? Math.max(0, 1 - loss / start[j]!) : 0)));
}

/** A graph by hand: 1 on the diagonal, 0.5 for every edge "from:to". Throws UserError for names that are no groups. */
export function handGraph(names: readonly string[], edges: readonly string[], weight = 0.5): number[][] {
  const graph: number[][] = names.map((_, i) => names.map((__, j) => Number(i === j)));
  for (const edge of edges) {
    // A name may hold colons itself, so every way to cut is tried.
    const cut = [...edge.matchAll(/:/g)].map(({ index }) => index);
    const ends = cut
      .map((at) => [names.indexOf(edge.slice(0, at)), names.indexOf(edge.slice(at + 1))] as const)
      .find(([from, to]) => from >= 0 && to >= 0);
    if (!ends) throw new UserError(`edge ${edge} does not name two groups`, `write from:to with ${names.join(", ")}`);
    if (ends[0] !== ends[1]) graph[ends[0]]![ends[1]] = weight;
  }
  return graph;
}
