/** What rows of a task are worth, and the metrics that average it, as lm-evaluation-harness defines them. */
import { bindDefaults } from "../../method/bind.ts";
import { type BoundMetric, defineMetric } from "../../run/measuring/metric.ts";
import { rightTokens, type ScoredRow, summedLoss, tokens } from "../../run/scoring/scored-row.ts";
import { likeliest } from "../measures/choices.ts";
import { mean } from "../measures/means.ts";
import { bounded } from "./bounded.ts";
import { rightPlaces, wordsOf } from "./contexts.ts";
import { TASK_METRICS } from "./metrics.ts";
import { countWords } from "./rolling.ts";
import type { TaskFile } from "./task-file.ts";
import type { DocumentTexts } from "./texts.ts";

/** The name of a metric over what a filter leaves: "exact_match,strict-match". */
const nameOf = (metric: string, filter: string): string => (filter === "none" ? metric : `${metric},${filter}`);

const NEEDS = {
  multiple_choice: ["choice"],
  loglikelihood: [],
  loglikelihood_rolling: ["choice"],
  generate_until: ["continued"],
} as const;

/** Sums over rows that a metric of whole texts divides: log-likelihoods, words and bytes. */
const LOGS = "loglikelihood";
const UNITS: Readonly<Record<string, string>> = {
  word_perplexity: "words",
  byte_perplexity: "bytes",
  bits_per_byte: "bytes",
};

const summed = (rows: readonly ScoredRow[], name: string): number =>
  rows.reduce((sum, { scores }) => sum + (scores?.[name] ?? 0), 0);

/** The value of a metric that is no mean; undefined for one that is. */
function wholeValue(metric: string, name: string, rows: readonly ScoredRow[]): number | undefined {
  if (metric === "perplexity") return Math.exp(-mean(rows.flatMap(({ scores }) => scores?.[name] ?? [])));
  const units = UNITS[metric];
  if (units === undefined) return undefined;
  const loss = -summed(rows, LOGS) / summed(rows, units);
  return metric === "bits_per_byte" ? loss / Math.LN2 : Math.exp(loss);
}

/** The metrics of a task, one a filter. */
export const metricsOf = ({ metrics, filters, outputType }: TaskFile): BoundMetric[] =>
  filters.flatMap((filter) =>
    metrics.map((metric) => {
      const name = nameOf(metric.name, filter.name);
      const isLoss = metric.name === "perplexity" || UNITS[metric.name] !== undefined;
      const least = metric.name === "bits_per_byte" ? 0 : 1;
      return bindDefaults(
        defineMetric({
          name,
          title: name,
          ...TASK_METRICS[metric.name]!,
          cite: "lm-evaluation-harness",
          example: "bun run evaluate model/ --task task.yml",
          options: {},
          task: "causal-lm",
          needs: NEEDS[outputType],
          range: isLoss ? [least, Number.POSITIVE_INFINITY] : [0, 1],
          better: isLoss ? "lower" : "higher",
          knowledge: isLoss ? "less" : "more",
          laws: {
            rowOrder: true,
            duplicates: true,
            unscoredRows: true,
            otherGroups: "a task has one group",
            perfectModel: true,
          },
          value: (rows) =>
            wholeValue(metric.name, name, rows) ?? mean(rows.flatMap(({ scores }) => scores?.[name] ?? [])),
        }),
      );
    }),
  );

/** Rows with what each is worth, by metric: log-likelihoods for perplexity, else 1 or 0. */
export async function scoresOf(
  task: TaskFile,
  texts: readonly DocumentTexts[],
  rows: readonly ScoredRow[],
): Promise<ScoredRow[]> {
  const { outputType } = task;
  if (outputType === "generate_until") return withMatches(task, texts, rows);
  return rows.map((row, i) => ({
    ...row,
    scores: SCORES[outputType](row, texts[i]!),
  }));
}

const likelihoodScores = (row: ScoredRow) => ({
  perplexity: -summedLoss(row),
  acc: rightTokens(row) === tokens(row) ? 1 : 0,
});

/** What a whole text has: the windows of a row are its choices. */
function rollingScores({ choice }: ScoredRow, { targets }: DocumentTexts): Record<string, number> {
  const text = String(targets[0]);
  const loss = choice?.losses.reduce((a, b) => a + b, 0) ?? Number.NaN;
  return { [LOGS]: -loss, words: countWords(text), bytes: Buffer.byteLength(text) };
}

/** Lengths are counted in characters of Unicode, as Python counts them. */
function choiceScores({ choice }: ScoredRow, text: DocumentTexts): Record<string, number> {
  if (!choice) return {};
  const right = rightPlaces(text);
  const lengths = text.choices!.map((each) => [...each].length);
  const one = (is: boolean) => (is ? 1 : 0);
  return {
    acc: one(right.includes(likeliest(choice.losses))),
    acc_norm: one(right.includes(likeliest(choice.losses, lengths))),
    exact_match: one(right.some((place) => choice.isGreedy[place] === true)),
  };
}

const SCORES = {
  multiple_choice: choiceScores,
  loglikelihood: likelihoodScores,
  loglikelihood_rolling: rollingScores,
};

async function withMatches(
  task: TaskFile,
  texts: readonly DocumentTexts[],
  rows: readonly ScoredRow[],
): Promise<ScoredRow[]> {
  const pairs = task.filters.flatMap(({ name, steps }) =>
    task.metrics.map(({ name: metric, match }) => ({ name: nameOf(metric, name), steps, match })),
  );
  const found = rows.map(({ generated }, i) => ({
    found: generated!.found,
    expected: texts[i]!.targets.map((target) => wordsOf(texts[i]!, target)),
  }));
  const matchers = pairs.map(({ steps, match }) => ({ steps, match }));
  const answer = await bounded(task.file, { kind: "matches", matchers, rows: found });
  const matches = "matches" in answer ? answer.matches : [];
  return rows.map((row, i) => ({
    ...row,
    scores: Object.fromEntries(pairs.map(({ name }, m) => [name, matches[m]![i]!])),
  }));
}
