/** What a stream says at its end: the matrix R, and the metrics of learning one task after another. */
import fs from "node:fs";
import { UserError } from "../../errors.ts";
import { type ContinualMetrics, continualMetrics, type ScoreMatrix } from "../../run/continual/matrix.ts";
import { table } from "../../text/table.ts";
import type { Task, TaskScore } from "./contract.ts";
import type { StreamScores } from "./state.ts";

/** The metrics by score. */
export interface StreamMetrics {
  /** Of losses: less is better. */
  readonly loss: ContinualMetrics;
  /** Of classifiers alone. */
  readonly accuracy?: ContinualMetrics;
}

type ScoreName = "loss" | "accuracy";

const BETTER = { loss: "lower", accuracy: "higher" } as const;

const scoresOf = (row: readonly TaskScore[], name: ScoreName) => row.map((score) => score[name] ?? null);

/** Scores of a model that learnt all tasks at once, by task. */
export type JointScores = readonly TaskScore[];

function matrixOf({ before, after }: StreamScores, name: ScoreName, joint: JointScores | undefined): ScoreMatrix {
  return {
    before: scoresOf(before, name),
    after: after.map((row) => scoresOf(row, name)),
    ...(joint ? { joint: scoresOf(joint, name) } : {}),
    better: BETTER[name],
  };
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Metrics of a matrix with a row for every task. One stage for all tasks has an average alone. */
export function streamMetrics(scores: StreamScores, stages: number, joint?: JointScores): StreamMetrics {
  const last = scores.after.at(-1)!;
  const of = (name: ScoreName): ContinualMetrics => {
    const matrix = matrixOf(scores, name, joint);
    if (stages === last.length) return continualMetrics(matrix);
    return { average: mean(last.map((score) => score[name]!)) };
  };
  const { general } = scores;
  const [first, end] = [general[0], general.at(-1)].map((groups) => mean((groups ?? []).map(({ loss }) => loss)));
  const kept =
    general[0]!.length > 0
      ? continualMetrics({ after: [], general: { before: first!, after: end! }, better: "lower" })
      : {};
  return {
    loss: { ...of("loss"), ...kept },
    ...(last[0]!.accuracy === undefined ? {} : { accuracy: of("accuracy") }),
  };
}

const LABELS: Readonly<Record<keyof ContinualMetrics, string>> = {
  average: "ACC",
  forgetting: "F",
  backward_transfer: "BWT",
  forward_transfer: "FWT",
  learning: "LA",
  intransigence: "intransigence",
  general_retention: "GR",
  vertical_forgetting: "vertical forgetting",
};

/**
 * The scores of a file that a run of `--method joint --json` wrote, by task. Throws UserError for another file, and for
 * other tasks.
 */
export async function readJointScores(file: string, tasks: readonly Task[]): Promise<JointScores> {
  let read: unknown;
  try {
    read = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    throw new UserError(`--joint-scores ${file} cannot be read: ${(error as Error).message}`, "is the path right?");
  }
  const { type } = await import("../../method/ark.ts");
  const joint = type({
    "+": "ignore",
    method: "'joint'",
    tasks: type({ "+": "ignore", name: "string" }).array(),
    after: { loss: "number[][]", "accuracy?": "number[][]" },
  })(read);
  const own = tasks.map(({ name }) => name).join(", ");
  const foreign = new UserError(
    `--joint-scores ${file} is not of joint training on the tasks ${own}`,
    "write it with adapt --method joint --json, on the same --tasks",
  );
  if (joint instanceof type.errors || joint.tasks.map(({ name }) => name).join(", ") !== own) throw foreign;
  const [loss, accuracy] = [joint.after.loss[0], joint.after.accuracy?.[0]];
  if (loss?.length !== tasks.length || (accuracy && accuracy.length !== tasks.length)) throw foreign;
  return tasks.map((_, j) => ({ loss: loss[j]!, ...(accuracy ? { accuracy: accuracy[j]! } : {}), counted: 0 }));
}

/** The metrics in one line: `ACC 0.912, F 0.041`. */
export const metricsLine = (metrics: ContinualMetrics): string =>
  Object.entries(metrics)
    .map(([name, value]) => `${LABELS[name as keyof ContinualMetrics]} ${value.toFixed(4)}`)
    .join(", ");

/** R as a table, a line for the model before all and for each stage, with the metrics below it. */
export function streamTable(
  tasks: readonly Task[],
  stages: readonly { readonly name: string }[],
  scores: StreamScores,
  metrics: StreamMetrics,
): string {
  return (["accuracy", "loss"] as const)
    .flatMap((name) => {
      const own = metrics[name];
      if (!own) return [];
      const line = (label: string, row: readonly TaskScore[], i: number) => [
        label,
        ...row.map((score) => score[name]!.toFixed(4)),
        ...(scores.general[i] ?? []).map(({ loss }) => (name === "loss" ? loss.toFixed(4) : "")),
      ];
      const groups = name === "loss" ? (scores.general[0] ?? []).map((group) => group.name) : [];
      const rows = [
        [name, ...tasks.map((task) => task.name), ...groups],
        line("before", scores.before, 0),
        ...scores.after.map((row, i) => line(`after ${stages[i]!.name}`, row, i + 1)),
      ];
      return [table(rows, { align: `l${"r".repeat(tasks.length + groups.length)}` }), metricsLine(own)];
    })
    .join("\n");
}
