/** `evaluate two-phase`: the settings of each method are chosen on one stream, its score is reported from another. */
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { nearest } from "../../method/nearest.ts";
import { flagOf } from "../../method/options.ts";
import { table } from "../../text/table.ts";
import type { TWO_PHASE } from "../options.ts";
import { type Line, type Scored, twoPhases, uneven } from "../two-phase/protocol.ts";
import { type Run, readRuns } from "../two-phase/runs.ts";

type TwoPhaseContext = Context<typeof TWO_PHASE>;

/** Metrics of which less is better, whatever the score. */
const LOWER = new Set(["forgetting", "intransigence", "vertical_forgetting"]);
/** Metrics that are means of the score itself; all others have the sign that makes more of them positive. */
const SCORES = new Set(["average", "learning"]);

/** The score that all runs have: accuracy, else loss. */
function scoreOf(runs: readonly Run[], asked: string | undefined): string {
  const score = asked ?? (runs.every(({ metrics }) => metrics.accuracy) ? "accuracy" : "loss");
  const without = runs.find(({ metrics }) => !metrics[score]);
  if (without) throw new UserError(`${without.file} has no ${score}`, "give --score, or other logs");
  return score;
}

function scored(runs: readonly Run[], score: string, metric: string): Scored[] {
  return runs.map((run) => {
    const value = run.metrics[score]![metric];
    if (value !== undefined) return { run, value };
    const known = Object.keys(run.metrics[score]!);
    const near = nearest(metric, known);
    throw new UserError(
      `${run.file} has no metric ${metric}`,
      near === undefined ? `it has ${known.join(", ")}` : `did you mean ${near}?`,
    );
  });
}

const optionsText = ({ chosen }: Line): string =>
  Object.entries(chosen)
    .map(([name, value]) => `${flagOf(name)} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(" ") || "–";

/** The table. Without the second phase it says what was chosen, and not how well that did where it was chosen. */
function tableOf(lines: readonly Line[], isReported: boolean): string {
  if (!isReported)
    return table([
      ["method", "configurations", "runs", "chosen"],
      ...lines.map((line) => [line.method, `${line.configurations}`, `${line.tuned.runs}`, optionsText(line)]),
    ]);
  const sorted = lines.toSorted((a, b) => (a.reported?.rank ?? Infinity) - (b.reported?.rank ?? Infinity));
  return table(
    [
      ["method", "reported", "sd", "runs", "rank, tuned to reported", "seconds, tuning", "reporting", "chosen"],
      ...sorted.map((line) => {
        const { tuned, reported } = line;
        return [
          line.method,
          reported ? reported.mean.toFixed(4) : "not run",
          reported?.sd?.toFixed(4) ?? "–",
          `${reported?.runs ?? 0}`,
          `${tuned.rank} to ${reported?.rank ?? "–"}`,
          tuned.seconds.toFixed(0),
          reported?.seconds.toFixed(0) ?? "–",
          optionsText(line),
        ];
      }),
    ],
    { align: "lrrrrrrl" },
  );
}

/** Runs the sub-command. */
export async function twoPhase(context: TwoPhaseContext): Promise<Outcome> {
  const { options } = context;
  const [tune, report] = [readRuns(options.tune), readRuns(options.report ?? [])];
  const score = scoreOf([...tune, ...report], options.score);
  const { metric } = options;
  const better = LOWER.has(metric) || (SCORES.has(metric) && score === "loss") ? "lower" : "higher";
  const tried = scored(tune, score, metric);
  const lines = twoPhases(tried, scored(report, score, metric), better);
  const streams = new Set(tune.map(({ stream }) => stream));
  const same = report.filter(({ stream }) => streams.has(stream));
  if (same.length > 0)
    context.warn(`${same[0]!.file} is of a stream that settings were chosen on: what is reported of it is too good`);
  for (const method of uneven(tried))
    context.warn(`${method}: configurations were tried on different seeds or streams, and their means do not compare`);
  for (const { method, ignored } of lines)
    if (ignored > 0)
      context.warn(`${method}: ${ignored} runs to report have settings that were not chosen, and do not count`);
  const unknown = report.find(({ method }) => !lines.some((line) => line.method === method));
  if (unknown)
    throw new UserError(`${unknown.file}: ${unknown.method} has no run in --tune`, "choose its settings there first");
  const isReported = report.length > 0;
  if (options.json) {
    const told = isReported
      ? lines
      : lines.map(({ tuned: { runs, seconds }, ...line }) => ({ ...line, runs, seconds }));
    context.json({ score, metric, better, same_stream: same.length > 0, methods: told });
  } else context.print(tableOf(lines, isReported));
  if (!isReported) context.info("run what was chosen on another stream, and give those logs as --report for its score");
  return {};
}
