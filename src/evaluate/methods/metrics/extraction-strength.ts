/**
 * How little of an answer must be given for the rest to follow. Carlini et al., USENIX Security 2021,
 * https://arxiv.org/abs/2012.07805
 *
 * 1 - k/n, where k is the least number of tokens after which every token is the most likely one given the right ones before it;
 * 0 where not even the last is. The end of the text is left out.
 */
import { bodyTokens, defineMetric, mean, type ScoredRow } from "../../contract.ts";

export function extractionStrength(row: ScoredRow): number {
  const n = bodyTokens(row);
  let k = n;
  while (k > 0 && row.argmax[k - 1] === row.targets[k - 1]) k--;
  return 1 - k / n;
}

export const method = defineMetric({
  name: "extraction-strength",
  title: "Extraction strength",
  about: "share of an answer that follows, token by token, once the part before it is given; mean over rows",
  cite: "arXiv:2012.07805",
  options: {},
  task: "causal-lm",
  lower: false,
  knowledge: "more",
  value: (rows) => mean(rows.filter((row) => bodyTokens(row) > 0).map(extractionStrength)),
});
