/**
 * Merges of a SentencePiece BPE from the scores of its pieces.
 *
 * SentencePiece joins the neighbours whose union has the best score; a list of merges says the same when every way to
 * split a piece into two pieces stands in it, best score first. Pieces of equal score keep the order of transformers'
 * converter: longer left part first, then longer right part.
 */

/** Steps of comparing prefixes, in characters squared; a quarter of a million tokens take a tenth. */
const MAX_WORK = 400_000_000;

/** Pairs in the order in which they are applied. Undefined when the tokens are so long that this would take minutes. */
export function scoredMerges(
  tokens: readonly string[],
  scores: readonly number[],
  isPiece: (id: number) => boolean,
): [string, string][] | undefined {
  let work = 0;
  for (const token of tokens) work += token.length ** 2;
  if (work > MAX_WORK) return undefined;
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const found: { left: string; right: string; score: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (!isPiece(id)) continue;
    const splits: { left: string; right: string; score: number }[] = [];
    for (let at = 1; at < token.length; at++) {
      const [left, right] = [token.slice(0, at), token.slice(at)];
      if (ids.has(left) && ids.has(right)) splits.push({ left, right, score: scores[id]! });
    }
    splits.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    found.push(...splits);
  }
  const length = (text: string) => Array.from(text).length;
  found.sort((a, b) => b.score - a.score || length(b.left) - length(a.left) || length(b.right) - length(a.right));
  return found.map(({ left, right }) => [left, right]);
}
