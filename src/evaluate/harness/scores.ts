/** What rows of a task are worth, and the metrics that average it, as lm-evaluation-harness defines them. */
import { bindDefaults } from "../../method/bind.ts";
import { rightTokens, type ScoredRow, summedLoss, tokens } from "../../run/scoring/scored-row.ts";
import { type BoundMetric, defineMetric } from "../contract.ts";
import { likeliest } from "../measures/choices.ts";
import { mean } from "../measures/means.ts";
import { bounded } from "./bounded.ts";
import { rightPlaces, wordsOf } from "./contexts.ts";
import { TASK_METRICS } from "./metrics.ts";
import type { TaskFile } from "./task-file.ts";
import type { DocumentTexts } from "./texts.ts";

/** The name of a metric over what a filter leaves: "exact_match,strict-match". */
const nameOf = (metric: string, filter: string): string => (filter === "none" ? metric : `${metric},${filter}`);

const NEEDS = { multiple_choice: ["choice"], loglikelihood: [], generate_until: ["continued"] } as const;

/** The metrics of a task, one a filter. */
export const metricsOf = ({ metrics, filters, outputType }: TaskFile): BoundMetric[] =>
  filters.flatMap((filter) =>
    metrics.map((metric) => {
      const name = nameOf(metric.name, filter.name);
      const isPerplexity = metric.name === "perplexity";
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
          range: isPerplexity ? [1, Number.POSITIVE_INFINITY] : [0, 1],
          better: isPerplexity ? "lower" : "higher",
          knowledge: isPerplexity ? "less" : "more",
          laws: {
            rowOrder: true,
            duplicates: true,
            unscoredRows: true,
            otherGroups: "a task has one group",
            perfectModel: true,
          },
          value(rows) {
            const known = mean(rows.flatMap(({ scores }) => scores?.[name] ?? []));
            return isPerplexity ? Math.exp(-known) : known;
          },
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
  if (task.outputType === "generate_until") return withMatches(task, texts, rows);
  return rows.map((row, i) => ({
    ...row,
    scores: task.outputType === "loglikelihood" ? likelihoodScores(row) : choiceScores(row, texts[i]!),
  }));
}

const likelihoodScores = (row: ScoredRow) => ({
  perplexity: -summedLoss(row),
  acc: rightTokens(row) === tokens(row) ? 1 : 0,
});

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
