/** Pairs of texts from what each is worth. */
import type { JsonObject } from "../json.ts";

export interface WorthText {
  readonly prompt: string;
  readonly text: string;
  readonly worth: number;
}

/** The best and the worst text of every prompt that has several, where they are apart by more than `least`. */
export function bestAndWorst(rows: readonly WorthText[], least: number): JsonObject[] {
  return [...Map.groupBy(rows, ({ prompt }) => prompt)].flatMap(([prompt, own]) => {
    const best = own.reduce((a, b) => (b.worth > a.worth ? b : a));
    const worst = own.reduce((a, b) => (b.worth < a.worth ? b : a));
    const margin = best.worth - worst.worth;
    if (margin <= least || best.text === worst.text) return [];
    return [{ prompt, chosen: best.text, rejected: worst.text, margin }];
  });
}
