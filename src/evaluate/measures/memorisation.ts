/** How much of an answer a model knows by heart, token by token; the end of the text is left out. Means over rows. */
import { bodyTokens, type ScoredRow } from "../../run/scoring/scored-row.ts";
import { mean } from "./means.ts";

const overRows = (rows: readonly ScoredRow[], of: (row: ScoredRow) => number): number =>
  mean(rows.filter((row) => bodyTokens(row) > 0).map(of));

/** Share of tokens that are the most likely ones, given the right ones before them. https://arxiv.org/abs/2205.10770 */
export const exactMemorisation = (rows: readonly ScoredRow[]): number =>
  overRows(rows, (row) => {
    const n = bodyTokens(row);
    let right = 0;
    for (let i = 0; i < n; i++) right += row.argmax[i] === row.targets[i] ? 1 : 0;
    return right / n;
  });

/**
 * 1 - k/n, where k is the least number of tokens after which every token is the most likely one given the right ones
 * before it; 0 where not even the last is. Carlini et al., USENIX Security 2021, https://arxiv.org/abs/2012.07805
 */
export const extractionStrength = (rows: readonly ScoredRow[]): number =>
  overRows(rows, (row) => {
    const n = bodyTokens(row);
    let k = n;
    while (k > 0 && row.argmax[k - 1] === row.targets[k - 1]) k--;
    return 1 - k / n;
  });
