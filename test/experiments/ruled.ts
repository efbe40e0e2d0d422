/** What a decoder over several views makes of texts. */
import type { Sequence } from "../../src/data/sequences.ts";
import type { Model } from "../../src/model/model.ts";
import { CombinedRows } from "../../src/run/combining/combined-rows.ts";
import { CombinedScorer } from "../../src/run/combining/combined-scorer.ts";
import type { Rule } from "../../src/run/combining/contract.ts";
import { oneBatch } from "./distill-languages.ts";

/** Loss and accuracy of a rule over models on texts. */
export async function scored(rule: Rule, models: readonly Model[], rows: readonly Sequence[]) {
  const scorer = new CombinedScorer(new CombinedRows(rule, models, 0), { moments: false, probabilities: false });
  const { targets, nll, argmax } = await scorer.score(oneBatch(rows));
  await scorer.free();
  const counted = [...targets.keys()].filter((i) => targets[i]! >= 0);
  const mean = (of: (i: number) => number) => counted.reduce((sum, i) => sum + of(i), 0) / counted.length;
  return { loss: mean((i) => nll[i]!), accuracy: mean((i) => (argmax[i] === targets[i] ? 1 : 0)) };
}
