/** `evaluate lifelong`: metrics of a log of alternating blocks of training and tests. */
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { table } from "../../text/table.ts";
import { type Block, readLog } from "../lifelong/log.ts";
import { type Lifelong, type LifelongMetrics, lifelongMetrics, normalized, rangesOf } from "../lifelong/metrics.ts";
import type { LIFELONG } from "../options.ts";

type LifelongContext = Context<typeof LIFELONG>;

/** Columns of the table. */
const COLUMNS: readonly (readonly [keyof LifelongMetrics, string])[] = [
  ["performance_maintenance", "PM"],
  ["forward_transfer_contrast", "FT contrast"],
  ["forward_transfer_ratio", "FT ratio"],
  ["backward_transfer_contrast", "BT contrast"],
  ["backward_transfer_ratio", "BT ratio"],
  ["relative_performance", "RP"],
  ["sample_efficiency", "SE"],
  ["performance_recovery", "PR"],
];

/** The range that performances are brought from. Throws UserError for one without width, or with values outside. */
function rangeOf({ range, normalize }: LifelongContext["options"], blocks: readonly Block[]) {
  if (range === undefined) return rangesOf(blocks, normalize);
  const [low = 0, high = 0] = range;
  if (range.length !== 2 || !(low < high))
    throw new UserError(`--range ${range.join(",")}: expected the lowest and the highest value`, "such as --range 0,1");
  const [least, most] = rangesOf(blocks, "run")("");
  if (least < low || most > high)
    throw new UserError(
      `--range ${low},${high}: performances go from ${least} to ${most}`,
      "give a range that holds them all",
    );
  return () => [low, high] as const;
}

/** Learning curves of experts by task, normalized. Throws UserError for a file that trains nothing of the log. */
function curvesOf(files: readonly string[], logs: readonly (readonly Block[])[], tasks: ReadonlySet<string>) {
  const curves = new Map<string, number[][]>();
  for (const [i, blocks] of logs.entries()) {
    const own = new Map<string, number[]>();
    for (const { type, performance } of blocks)
      for (const [task, values] of type === "train" ? performance : [])
        own.set(task, [...(own.get(task) ?? []), ...values]);
    if (![...own.keys()].some((task) => tasks.has(task)))
      throw new UserError(
        `--expert ${files[i]} trains ${[...own.keys()].map(show).join(", ") || "no task"}, none of the log's tasks`,
        `these are ${[...tasks].map(show).join(", ")}`,
      );
    for (const [task, curve] of own) curves.set(task, [...(curves.get(task) ?? []), curve]);
  }
  return curves;
}

function tableOf({ tasks, lifetime }: Lifelong): string {
  const shown = COLUMNS.filter(([name]) => lifetime[name] !== undefined);
  const cells = (metrics: LifelongMetrics) => shown.map(([name]) => metrics[name]?.toFixed(3) ?? "–");
  return table(
    [
      ["task", ...shown.map(([, title]) => title)],
      ...Object.entries(tasks).map(([task, metrics]) => [show(task), ...cells(metrics)]),
      ["all", ...cells(lifetime)],
    ],
    { align: `l${"r".repeat(shown.length)}` },
  );
}

/** Runs the sub-command. */
export async function lifelong(context: LifelongContext): Promise<Outcome> {
  const { options, args } = context;
  const { expert = [], reference, terminal, smooth } = options;
  const file = args[0] ?? "-";
  const log = await readLog(file);
  const experts: Block[][] = [];
  for (const each of expert) experts.push(await readLog(each));
  const ranges = rangeOf(options, [...log, ...experts.flat()]);
  const tasks = new Set(log.flatMap(({ performance }) => [...performance.keys()]));
  const curves = curvesOf(
    expert,
    experts.map((blocks) => normalized(blocks, ranges)),
    tasks,
  );
  if (context.dryRun) {
    if (options.json) context.json({ log: file, blocks: log.length, names: [...tasks] });
    else context.print(`${log.length} blocks of ${[...tasks].map(show).join(", ")}`);
    return {};
  }
  const found = lifelongMetrics(normalized(log, ranges), curves, { reference, terminal, smooth });
  if (found.unrecovered > 0)
    context.warn(
      `${found.unrecovered} trainings never got back to where the one before them ended; each counts as long as it is`,
    );
  if (options.json) context.json({ log: file, blocks: log.length, ...found });
  else context.print(tableOf(found));
  return {};
}
