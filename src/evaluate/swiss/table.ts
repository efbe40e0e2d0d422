/** The table of scores that a Swiss tournament is played on: models by benchmarks, higher is better. */
import { readJsonFile } from "../../data/files/jsonl.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject, show } from "../../json.ts";
import { type Better, type EvaluationRow, evaluationRows } from "../../run/evaluation/row.ts";

export interface ScoreTable {
  readonly models: readonly string[];
  readonly benchmarks: readonly string[];
  /** By model and benchmark: more is better. */
  readonly scores: readonly (readonly number[])[];
}

const HINT = "records of bun run evaluate ... -o scores.jsonl: model, group, metric, better and value";

/** How good a value is; more is better. */
const worth = (value: number, better: Exclude<Better, "none">): number => {
  if (better === "higher") return value;
  return better === "lower" ? -value : -Math.abs(value - better);
};

/** Rows of benchmarks, without those of all groups together and without further numbers. */
function benchmarkRows(rows: readonly EvaluationRow[], metric: string | undefined): EvaluationRow[] {
  const hasGroups = rows.some(({ group }) => group !== "all");
  return rows.filter(
    ({ group, better, metric: own }) =>
      better !== undefined &&
      better !== "none" &&
      (!hasGroups || group !== "all") &&
      (metric === undefined || own === metric),
  );
}

/**
 * Reads records of evaluations, in the order of their first mention. Throws UserError for what is no record, for a
 * model without one of the benchmarks or with two scores of one, and where there is no contest.
 */
export async function readScores(files: readonly string[], metric: string | undefined): Promise<ScoreTable> {
  const records: JsonObject[] = [];
  for (const file of files)
    for await (const { value, place } of readJsonFile(file, { hint: HINT })) {
      if (!isObject(value) || !evaluationRows([value])) throw new UserError(`${place}: not a score of a model`, HINT);
      records.push(value);
    }
  const rows = benchmarkRows(evaluationRows(records) ?? [], metric);
  const models = [...new Set(rows.map(({ model }) => model))];
  const nameOf = ({ group, metric: own }: EvaluationRow) => `${group} ${own}`;
  const benchmarks = [...new Set(rows.map(nameOf))];
  if (models.length < 2 || benchmarks.length === 0)
    throw new UserError(
      `${models.length} models and ${benchmarks.length} benchmarks${metric === undefined ? "" : ` of ${show(metric)}`} are no contest`,
      `a tournament has two models or more; ${HINT}`,
    );
  const found = new Map<string, number>();
  for (const row of rows) {
    const key = JSON.stringify([row.model, nameOf(row)]);
    if (found.has(key))
      throw new UserError(`${row.model} has two scores of ${nameOf(row)}`, "give each model once, or name them apart");
    const { better = "none" } = row;
    if (better !== "none") found.set(key, worth(row.value, better));
  }
  const scores = models.map((model) =>
    benchmarks.map((benchmark) => {
      const score = found.get(JSON.stringify([model, benchmark]));
      if (score === undefined || Number.isNaN(score))
        throw new UserError(
          `${model} has no score of ${benchmark}`,
          "every model plays every round: measure all models on the same rows",
        );
      return score;
    }),
  );
  return { models, benchmarks, scores };
}
