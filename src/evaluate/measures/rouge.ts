/** How much of the right answers generated ones give, word by word. */
import type { ScoredRow } from "../../run/scoring/scored-row.ts";
import { type Rouge, rouge } from "../../text/rouge.ts";
import { mean } from "./means.ts";

/** By generated answer: resamples ask for the same row hundreds of times. */
const computed = new WeakMap<object, Rouge>();

/** Of every row whose answer was generated and has words to compare with. */
export function rougeOf(rows: readonly ScoredRow[]): Rouge[] {
  return rows.flatMap(({ generated }) => {
    if (!generated) return [];
    let found = computed.get(generated);
    if (!found) {
      found = rouge(generated.expected, generated.found);
      computed.set(generated, found);
    }
    return Number.isNaN(found.recall) ? [] : found;
  });
}

/** Mean recall over rows. */
export const rougeRecall = (rows: readonly ScoredRow[]): number => mean(rougeOf(rows).map(({ recall }) => recall));
