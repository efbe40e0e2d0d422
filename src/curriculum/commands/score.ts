/** `curriculum score`: the loss of every row under a model, as a key of the row. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { rowObjects } from "../../data/files/row-objects.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { describeModel } from "../../run/open-model.ts";
import { rowLosses } from "../../run/scoring/row-losses.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import { start } from "../../run/training/starting-model.ts";
import type { SCORE } from "../options.ts";
import { readRows } from "../read-rows.ts";

export async function score(context: Context<typeof SCORE>): Promise<Outcome> {
  const { options, args, seed, signal } = context;
  const groups = groupsOf(options.data, "--data", options.columns);
  const paths = groups.map(({ path }) => path);
  const result = textResult(context, paths);
  if (options.overflow === "split") throw new UserError("--overflow split makes several of one row", "leave it out");
  const warn = (text: string) => context.warn(text);
  const begun = await start({ ...options, model: args[0] ?? "-", init: undefined, seed, warn });
  context.onExit(() => begun.close());
  const objects = await rowObjects(paths, "score");
  const rows = await readRows(options, await describeModel(begun, options, warn));
  if (rows.items.length !== objects.length)
    throw new UserError(
      `${objects.length} rows were written and ${rows.items.length} are read`,
      "leave out rows that are not read, so that each gets its own loss",
    );
  const counts = { rows: objects.length, groups: rows.counts };
  if (context.dryRun) {
    context.print(`${objects.length} rows, ${rows.counts.reduce((sum, { tokens }) => sum + tokens, 0)} tokens`);
    context.json(counts);
    return {};
  }
  const scorer = new Scorer(await begun.load(await openGpu({ device: context.device })));
  const losses = await rowLosses(scorer, rows.items, { rows: options.batch_size, signal });
  await scorer.free();
  const known = losses.filter(({ counted }) => counted > 0);
  const mean = known.reduce((sum, { mean }) => sum + mean, 0) / known.length;
  context.info(`${objects.length} rows, mean loss ${mean.toFixed(4)}`);
  const lines = objects.map((row, i) => {
    const { counted, mean } = losses[i]!;
    return JSON.stringify({ ...row, [options.loss_key]: counted > 0 ? Number(mean.toPrecision(7)) : null });
  });
  return result(lines.join("\n"), { ...counts, mean });
}
