/** `evaluate gen-dynamics`: the course of the test error of a linear student, in theory and as it is measured. */
import type { Context as CommandContext, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { table } from "../../text/table.ts";
import { bestStop, frozenShare, type Linear, simulate, testError } from "../gen-dynamics.ts";
import type { GEN_DYNAMICS } from "../options.ts";

type Context = CommandContext<typeof GEN_DYNAMICS>;

/** How much better than the end the best time must be for a hint to stop there. */
const WORTH = 0.95;

/** What the theory says to do. */
function advice(world: Linear, best: { readonly time: number; readonly error: number }, end: number): string[] {
  return [
    ...(best.error < WORTH * end
      ? [
          `stop at about ${best.time.toPrecision(2)}, or take a model that is larger or smaller: with ${world.ratio} samples for each weight, training on overfits`,
        ]
      : ["training on costs nothing here"]),
    ...(frozenShare(world) > 0 && world.start > 0
      ? [
          `begin with smaller weights: ${(100 * frozenShare(world)).toFixed(0)} % of directions keep what they begin with`,
        ]
      : []),
  ];
}

/** Runs the sub-command. Throws UserError for times that do not rise. */
export async function genDynamics(context: Context): Promise<Outcome> {
  const { options, seed, signal } = context;
  const { ratio, teacher, noise, start, inputs, draws, times } = options;
  if (times.some((time, i) => !(time > (times[i - 1] ?? 0))))
    throw new UserError(`--times ${times.join(",")}: they rise, from above 0`, "give them in order");
  const world = { ratio, teacher, noise, start };
  const best = bestStop(world, times.at(-1) ?? 0);
  const end = testError(world, Number.POSITIVE_INFINITY);
  if (context.dryRun) {
    context.print(`${draws} draws of ${Math.max(1, Math.round(ratio * inputs))} samples of ${inputs} inputs`);
    context.json({ samples: Math.max(1, Math.round(ratio * inputs)), inputs, draws });
    return {};
  }
  const measured = draws > 0 ? simulate(world, times, { inputs, draws, seed, signal }) : undefined;
  const rows = times.map((time, i) => ({
    ...{ time, theory: testError(world, time) },
    ...(measured ? { measured: measured[i]! } : {}),
  }));
  for (const { time, ...errors } of rows) context.log.event("probe", { step: time, probe: "gen-dynamics", ...errors });
  const hints = advice(world, best, end);
  context.print(
    table([
      ["time", "theory", "measured"],
      ...rows.map((row) => [String(row.time), row.theory.toFixed(4), row.measured?.toFixed(4) ?? "-"]),
      [`best ${best.time.toPrecision(3)}`, best.error.toFixed(4), ""],
      ["end", end.toFixed(4), ""],
    ]),
  );
  for (const hint of hints) context.info(hint);
  context.json({ ...world, inputs, draws, rows, best, end, frozen: frozenShare(world), advice: hints });
  return {};
}
