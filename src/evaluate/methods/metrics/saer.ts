/**
 * Semantic-aware error rate: how far an answer is from the right one in form and in meaning. SwitchLingua 2025, after
 * its abstract; the formula and the weight of a half are a reconstruction.
 *
 *   (1 - a) edits / units of the right answer + a (1 - cos(E(right), E(found)))
 *
 * Units are words, and single characters of scripts without spaces, so that texts which switch between languages are
 * counted span by span. E is the mean over tokens of the last hidden state of a model that is named.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { mixedErrorRate } from "../../../text/mixed-errors.ts";
import { mean } from "../../measures/means.ts";

interface Errors {
  readonly form: number;
  readonly meaning: number;
}

/** Of every row with an answer to compare with. */
const errorsOf = (rows: readonly ScoredRow[]): Errors[] =>
  rows.flatMap(({ generated }) => {
    if (!generated) return [];
    const form = mixedErrorRate(generated.expected, generated.found);
    return Number.isNaN(form) ? [] : [{ form, meaning: 1 - (generated.likeness ?? 0) }];
  });

export const method = defineMetric({
  name: "saer",
  title: "Semantic-aware error rate",
  about: "edits that make the right answer of what greedy decoding gives, and how far its meaning is from it",
  formula:
    "(1 - a) times edits over words of the right answer (characters of scripts without spaces), and a times 1 less the cosine of both texts' vectors, which are means of the last hidden state of --encoder; a is --saer-weight; mean over rows; form and meaning apart beside it",
  reads: "prompt and completion; --encoder; the options --max-tokens and --stop",
  cite: "SwitchLingua, 2025",
  example: "bun run evaluate model/ --encoder model/ --data rows.jsonl --metric saer",
  options: {
    encoder: { type: "string", help: "language model by whose states meanings are compared", value: "MODEL" },
    saer_weight: { type: "0 <= number <= 1", default: 0.5, help: "share of meaning (a); 0: form alone", value: "A" },
  },
  models: ["encoder"],
  task: "causal-lm",
  needs: ["continued", "likeness"],
  range: [0, Number.POSITIVE_INFINITY],
  better: "lower",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows, { values: { saer_weight: a } }) =>
    mean(errorsOf(rows).map(({ form, meaning }) => (1 - a) * form + a * meaning)),
  details(rows) {
    const list = errorsOf(rows);
    return { form: mean(list.map(({ form }) => form)), meaning: mean(list.map(({ meaning }) => meaning)) };
  },
});
