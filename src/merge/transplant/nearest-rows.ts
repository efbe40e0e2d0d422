/**
 * The rows of a table that are nearest to others of it: candidates by f32 products on the GPU, order by f64 distances.
 */
import type { RowTable } from "../vocabulary/row-table.ts";
import type { SharedSearch } from "./shared-search.ts";

export interface Neighbour {
  /** Among the rows that are searched. */
  readonly place: number;
  readonly values: Float32Array;
  /** Euclidean, or 1 - cosine. */
  readonly distance: number;
}

export interface Nearest {
  readonly target: Float32Array;
  /** From near to far; of equals the first place first. */
  readonly found: readonly Neighbour[];
}

/** Candidates beyond k, in case f32 has the order of near equals wrong. */
const SPARE = 8;
/** A product of lengths counts as at least this much in a cosine. */
const LEAST = 1e-6;

const lengthOf = (values: Float32Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

/** Lengths of the rows of `ids`. */
export async function lengthsOf(table: RowTable, ids: Int32Array): Promise<Float64Array> {
  const found = new Float64Array(ids.length);
  const places = new Map(Array.from(ids, (id, place) => [id, place]));
  await table.visit(
    [...places.keys()].sort((a, b) => a - b),
    (id, values) => {
      found[places.get(id)!] = lengthOf(values);
    },
  );
  return found;
}

function distanceOf(a: Float32Array, b: Float32Array, cosine: boolean): number {
  let [dots, apart] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    dots += a[i]! * b[i]!;
    apart += (a[i]! - b[i]!) ** 2;
  }
  return cosine ? 1 - dots / Math.max(lengthOf(a) * lengthOf(b), LEAST) : Math.sqrt(apart);
}

/**
 * The `most` smallest of a list with the places from `first` on, after those of `before`; a heap's work, by sorting.
 */
function keepSmallest(scores: Float64Array, most: number): number[] {
  const order = Array.from(scores.keys());
  if (order.length <= most) return order;
  // The largest of the kept ones bounds what may come in.
  const kept = order.slice(0, most).sort((a, b) => scores[a]! - scores[b]! || a - b);
  for (let i = most; i < order.length; i++) {
    if (!(scores[i]! < scores[kept[most - 1]!]!)) continue;
    let [low, high] = [0, most - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (scores[kept[middle]!]! <= scores[i]!) low = middle + 1;
      else high = middle;
    }
    kept.splice(low, 0, i);
    kept.pop();
  }
  return kept;
}

export interface Among {
  readonly table: RowTable;
  /** The rows of the table that are searched, and their lengths. */
  readonly ids: Int32Array;
  readonly lengths: Float64Array;
  readonly search: SharedSearch;
}

/** The k rows nearest to each of `wanted`, which are rows of the table too. */
export async function nearestRows(
  { table, ids, lengths, search }: Among,
  wanted: readonly number[],
  { k, cosine }: { readonly k: number; readonly cosine: boolean },
): Promise<Nearest[]> {
  const targets = await table.gather(wanted);
  const { columns } = table;
  const scores = wanted.map(() => new Float64Array(ids.length));
  await search.each({ count: wanted.length, values: targets }, (first, rows, found) => {
    for (const [i, list] of scores.entries())
      for (let row = 0; row < rows; row++) {
        const [product, length] = [found[i * rows + row]!, lengths[first + row]!];
        // |b - x|^2 without |x|^2, which is the same for all; or minus the cosine without |x|.
        list[first + row] = cosine ? -product / Math.max(length, LEAST) : length * length - 2 * product;
      }
  });
  const candidates = scores.map((list) => keepSmallest(list, Math.min(ids.length, k + SPARE)));
  const values = await table.gather(candidates.flat().map((place) => ids[place]!));
  let at = 0;
  return candidates.map((places, i) => {
    const target = targets.slice(i * columns, (i + 1) * columns);
    const found = places.map((place) => {
      const row = values.slice(at * columns, ++at * columns);
      return { place, values: row, distance: distanceOf(target, row, cosine) };
    });
    found.sort((a, b) => a.distance - b.distance || a.place - b.place);
    return { target, found: found.slice(0, k) };
  });
}
