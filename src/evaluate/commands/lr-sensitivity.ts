/** `evaluate lr-sensitivity`: what a training loses over a sweep of learning rates, from the logs of the sweep. */
import type { Context as CommandContext, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { table } from "../../text/table.ts";
import { foreseenScores, readRun, sensitivities, slopeOf } from "../lr-sensitivity.ts";
import type { LR_SENSITIVITY } from "../options.ts";

type Context = CommandContext<typeof LR_SENSITIVITY>;

/** Scores of attention above this come before a training falls apart, as the paper has it. */
const ALARM = 1e4;

/** Runs the sub-command. Throws UserError for logs that make no sweep. */
export async function lrSensitivity(context: Context): Promise<Outcome> {
  const { args, options } = context;
  if (args.length < 2) throw new UserError("a sweep has two logs or more", "train once for each rate, with --log");
  const runs = [];
  for (const file of args) runs.push(await readRun(file));
  const sizes = sensitivities(runs);
  const slope = slopeOf(sizes);
  const ahead = options.to === undefined ? [] : foreseenScores(sizes, options.to);
  if (options.to !== undefined && ahead.length === 0)
    throw new UserError(
      "--to: scores are foreseen from two sizes of models or more, and their logs tell none",
      "bun run train --probe logits writes them to its log",
    );
  for (const { rate, score } of ahead)
    if (score > ALARM)
      context.warn(
        `at rate ${rate} the scores of attention come to about ${score.toPrecision(2)} in a model of ${options.to} parameters; normalise queries and keys, or train at a lower rate`,
      );
  context.print(
    table([
      ["parameters", "rates", "sensitivity", "best loss", "at rate", "broke off"],
      ...sizes.map((size) => [
        ...[String(size.parameters), String(size.rates.length), size.sensitivity.toFixed(4), size.best_loss.toFixed(4)],
        ...[String(size.best_rate), String(size.broken)],
      ]),
    ]),
  );
  if (slope !== undefined) context.print(`slope of log sensitivity over log parameters: ${slope.toFixed(3)}`);
  for (const { rate, score } of ahead) context.print(`scores at rate ${rate}: ${score.toPrecision(3)}`);
  context.json({
    sizes,
    ...(slope === undefined ? {} : { slope }),
    ...(options.to === undefined ? {} : { foreseen: ahead }),
  });
  return {};
}
