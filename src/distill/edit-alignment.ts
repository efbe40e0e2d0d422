/**
 * Tokens of two vocabularies by how alike their texts are: which tokens of two tokenizations of a text stand for one
 * another, and which output of one vocabulary is nearest to one of the other. FuseLLM, Wan et al., ICLR 2024,
 * https://arxiv.org/abs/2401.10491
 */

/** Fewest characters to insert, delete or change; anything above `most` where it is more than that. */
export function editDistance(a: string, b: string, most = Number.POSITIVE_INFINITY): number {
  if (a === b) return 0;
  const [x, y] = [[...a], [...b]];
  if (Math.abs(x.length - y.length) > most) return most + 1;
  let before = Array.from({ length: y.length + 1 }, (_, j) => j);
  for (const [i, c] of x.entries()) {
    const row = [i + 1];
    for (const [j, d] of y.entries())
      row.push(Math.min(row[j]! + 1, before[j + 1]! + 1, before[j]! + (c === d ? 0 : 1)));
    if (Math.min(...row) > most) return most + 1;
    before = row;
  }
  return before[y.length]!;
}

/**
 * For each token of `own` the token of `other` that stands for it, or -1: the pairing with the least sum of edit
 * distances, where a token without a partner costs its length. Of equal sums pairs come first. O(n m) distances.
 */
export function alignTokens(own: readonly string[], other: readonly string[]): Int32Array {
  const [n, m] = [own.length, other.length];
  const costs = Array.from({ length: n + 1 }, () => new Float64Array(m + 1));
  const known = new Map<string, number>();
  const distance = (a: string, b: string): number => {
    const key = `${a}\u0000${b}`;
    const found = known.get(key) ?? editDistance(a, b);
    known.set(key, found);
    return found;
  };
  for (let i = 1; i <= n; i++) costs[i]![0] = costs[i - 1]![0]! + Math.max(1, own[i - 1]!.length);
  for (let j = 1; j <= m; j++) costs[0]![j] = costs[0]![j - 1]! + Math.max(1, other[j - 1]!.length);
  const steps = (i: number, j: number) => [
    costs[i - 1]![j - 1]! + distance(own[i - 1]!, other[j - 1]!),
    costs[i - 1]![j]! + Math.max(1, own[i - 1]!.length),
    costs[i]![j - 1]! + Math.max(1, other[j - 1]!.length),
  ];
  for (let i = 1; i <= n; i++) for (let j = 1; j <= m; j++) costs[i]![j] = Math.min(...steps(i, j));
  const pairs = new Int32Array(n).fill(-1);
  for (let [i, j] = [n, m]; i > 0 && j > 0; ) {
    const best = steps(i, j).indexOf(costs[i]![j]!);
    if (best === 0) pairs[i - 1] = j - 1;
    if (best < 2) i--;
    if (best !== 1) j--;
  }
  return pairs;
}

/** Finds the output of a vocabulary that a text stands for. */
export class NearestTexts {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #known = new Map<string, number | undefined>();

  /** `ids` by the text of each. */
  constructor(ids: ReadonlyMap<string, number>) {
    this.#ids = ids;
  }

  /**
   * The id with this text, else the one with the smallest edit distance, of equal ones the first; undefined where all
   * characters would have to change.
   */
  of(text: string): number | undefined {
    const exact = this.#ids.get(text);
    if (exact !== undefined || this.#known.has(text)) return exact ?? this.#known.get(text);
    let best: number | undefined;
    let least = text.length - 1;
    for (const [other, id] of this.#ids) {
      if (other === "") continue;
      const distance = editDistance(text, other, least);
      if (distance < least || (distance === least && best === undefined)) [best, least] = [id, distance];
    }
    this.#known.set(text, best);
    return best;
  }
}
