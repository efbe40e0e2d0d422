/** `evaluate swiss`: models ranked over benchmarks by simulated Swiss tournaments, from the records of evaluations. */
import type { Context as CommandContext, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { table } from "../../text/table.ts";
import type { SWISS } from "../swiss/options.ts";
import { readScores } from "../swiss/table.ts";
import { slopeOver, tournaments } from "../swiss/tournament.ts";

type Context = CommandContext<typeof SWISS>;

/** Runs the sub-command. Throws UserError for the same number of eliminations twice, and as `readScores` does. */
export async function swiss(context: Context): Promise<Outcome> {
  const { options, args, seed, signal } = context;
  const { eliminate, metric, runs, round_order: order, pairing } = options;
  if (eliminate.length === 0 || new Set(eliminate).size < eliminate.length)
    throw new UserError(`--eliminate ${eliminate.join(",")}: expected different numbers`, "such as --eliminate 0,1,2");
  const { models, benchmarks, scores } = await readScores(args.length > 0 ? args : ["-"], metric);
  if (context.dryRun) {
    if (options.json) context.json({ models, benchmarks, runs });
    else context.print(`${models.length} models on ${benchmarks.length} benchmarks: ${benchmarks.join(", ")}`);
    return {};
  }
  const standings = eliminate.map((count) =>
    tournaments(scores, { runs, eliminate: count, order, pairing, seed, signal }),
  );
  const rows = models.map((model, m) => ({
    model,
    wins: standings.map((each) => each[m]!.wins),
    error: standings.map((each) => each[m]!.error),
    survived: standings.map((each) => each[m]!.survived),
    slope: slopeOver(
      eliminate,
      standings.map((each) => each[m]!.wins),
    ),
  }));
  rows.sort((a, b) => b.wins[0]! - a.wins[0]!);
  const header = eliminate.flatMap((count) => [`wins, T ${count}`, ...(count === 0 ? [] : [`stays, T ${count}`])]);
  const cellsOf = ({ wins, survived }: (typeof rows)[number]) =>
    eliminate.flatMap((count, i) => [
      `${wins[i]!.toFixed(3)}`,
      ...(count === 0 ? [] : [`${(100 * survived[i]!).toFixed(1)} %`]),
    ]);
  const slopes = eliminate.length > 1;
  context.print(
    table(
      [
        ["model", ...header, ...(slopes ? ["slope"] : [])],
        ...rows.map((row) => [row.model, ...cellsOf(row), ...(slopes ? [(row.slope ?? 0).toFixed(3)] : [])]),
      ],
      { align: `l${"r".repeat(header.length + (slopes ? 1 : 0))}` },
    ),
  );
  context.json({ benchmarks, runs, eliminate, rows });
  return {};
}
