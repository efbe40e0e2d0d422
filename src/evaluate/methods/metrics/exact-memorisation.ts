/** Share of tokens that are the most likely ones given the right ones before them, without the end of the text; mean over rows. */
import { bodyTokens, defineMetric, mean, type ScoredRow } from "../../contract.ts";

/** NaN for a row of nothing but an end. */
export function memorised(row: ScoredRow): number {
  const n = bodyTokens(row);
  let right = 0;
  for (let i = 0; i < n; i++) right += row.argmax[i] === row.targets[i] ? 1 : 0;
  return right / n;
}

export const method = defineMetric({
  name: "exact-memorisation",
  title: "Exact memorisation",
  about: "share of an answer's tokens that are the most likely ones, without its end; mean over rows",
  cite: "arXiv:2205.10770",
  options: {},
  task: "causal-lm",
  lower: false,
  knowledge: "more",
  value: (rows) => mean(rows.filter((row) => bodyTokens(row) > 0).map(memorised)),
});
