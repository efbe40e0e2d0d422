/** Log-probabilities of tokens, and of the likeliest at their places. */
import { Likeliest } from "../../run/generating/likeliest.ts";

/** What is said of one token. */
export interface TokenLog {
  readonly id: number;
  /** Natural logarithm of its probability; undefined of the first token of a text. */
  readonly log: number | undefined;
  /** The likeliest at its place, likeliest first. */
  readonly top: readonly { readonly id: number; readonly log: number }[];
}

/** JSON has no -Infinity: the least that is told. */
const LEAST = -9999;

/** The log-probability of a token from the logits of its place, and the `count` likeliest. */
export function tokenLog(id: number, logits: Float32Array, count: number): TokenLog {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of logits) most = Math.max(most, x);
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - most);
  const total = most + Math.log(sum);
  const logOf = (each: number) => Math.max(LEAST, logits[each]! - total);
  const likeliest = count === 0 ? [] : new Likeliest(Float64Array.from(logits), 1).take((taken) => taken >= count);
  return { id, log: logOf(id), top: likeliest.slice(0, count).map((each) => ({ id: each.id, log: logOf(each.id) })) };
}

/** From a loss and a best guess with its probability. */
export const guessLog = (
  id: number,
  { nll, best, confidence, count }: { nll: number; best: number; confidence: number; count: number },
): TokenLog => ({
  id,
  log: Math.max(LEAST, -nll),
  top: count === 0 ? [] : [{ id: best, log: best === id ? -nll : Math.log(confidence) }],
});
