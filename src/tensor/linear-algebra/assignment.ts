/**
 * Linear assignment: which column goes with which row, so that the sum of what they gain together is largest.
 *
 * Shortest augmenting paths with dual prices, O(n^3) time and O(n) memory besides the matrix: Jonker and Volgenant,
 * Computing 38 (1987), https://doi.org/10.1007/BF02278710, without their reductions at the start.
 */

/** One search: the shortest path from an unassigned row to an unassigned column. */
interface Search {
  readonly distance: Float64Array;
  readonly before: Int32Array;
  readonly done: Uint8Array;
}

/**
 * `gains` (n, n), row by row. Gives for every row its column. Where several assignments are best it is one of them,
 * always the same. Throws RangeError for a matrix of another size, or a gain that is not finite.
 */
export function assign(gains: Float64Array, n: number): Int32Array {
  if (gains.length !== n * n) throw new RangeError(`${gains.length} gains are no matrix of ${n} rows`);
  if (!gains.every(Number.isFinite)) throw new RangeError("a gain is not finite");
  const columnOf = new Int32Array(n).fill(-1);
  const rowOf = new Int32Array(n).fill(-1);
  const [rowPrice, columnPrice] = [new Float64Array(n), new Float64Array(n)];
  for (let row = 0; row < n; row++) rowPrice[row] = -largest(gains, row * n, n);
  const search = { distance: new Float64Array(n), before: new Int32Array(n), done: new Uint8Array(n) };
  for (let row = 0; row < n; row++) {
    let column = augment(gains, n, row, { rowOf, rowPrice, columnPrice }, search);
    for (;;) {
      const from = search.before[column]!;
      const next = columnOf[from]!;
      [rowOf[column], columnOf[from]] = [from, column];
      if (from === row) break;
      column = next;
    }
  }
  return columnOf;
}

function largest(gains: Float64Array, start: number, n: number): number {
  let most = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < n; j++) most = Math.max(most, gains[start + j]!);
  return most;
}

interface Prices {
  readonly rowOf: Int32Array;
  readonly rowPrice: Float64Array;
  readonly columnPrice: Float64Array;
}

/** Dijkstra over reduced costs, which are never negative; gives the free column that is nearest and moves prices. */
function augment(gains: Float64Array, n: number, start: number, prices: Prices, search: Search): number {
  const { rowOf, rowPrice, columnPrice } = prices;
  const { distance, before, done } = search;
  distance.fill(Number.POSITIVE_INFINITY);
  done.fill(0);
  let [row, reached, free] = [start, 0, -1];
  while (free < 0) {
    let [nearest, least] = [-1, Number.POSITIVE_INFINITY];
    const base = reached - rowPrice[row]!;
    for (let column = 0; column < n; column++) {
      if (done[column]) continue;
      const through = base - gains[row * n + column]! - columnPrice[column]!;
      if (through < distance[column]!) {
        distance[column] = through;
        before[column] = row;
      }
      if (distance[column]! < least) [nearest, least] = [column, distance[column]!];
    }
    done[nearest] = 1;
    reached = least;
    if (rowOf[nearest]! < 0) free = nearest;
    else row = rowOf[nearest]!;
  }
  rowPrice[start]! += reached;
  for (let column = 0; column < n; column++) {
    if (!done[column] || column === free) continue;
    const change = reached - distance[column]!;
    rowPrice[rowOf[column]!]! += change;
    columnPrice[column]! -= change;
  }
  return free;
}
