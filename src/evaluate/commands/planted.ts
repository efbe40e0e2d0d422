/** `evaluate planted`: planted rows beside those that were held back, in one model. */
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import { type Effect, effectOf, rowOutcomes } from "../../run/planting/outcome.ts";
import { readPlan } from "../../run/planting/plan.ts";
import { table } from "../../text/table.ts";
import type { PLANTED } from "../planting-options.ts";

interface Line extends Effect {
  readonly model: string;
  readonly experiment: string;
  readonly metric: "loss" | "exact";
}

const places = (value: number) => value.toFixed(4);

/** Runs the sub-command. Throws UserError for experiments without a control. */
export async function planted(context: Context<typeof PLANTED>): Promise<Outcome> {
  const { args, options, seed, signal } = context;
  if (args.length === 0) throw new UserError("no model is named", "name one or more checkpoints");
  const plan = await readPlan(options.plant, options.columns);
  if (plan.length === 0) throw new UserError(`--plant ${options.plant} has no experiments`, "write one a line");
  const without = plan.find(({ control }) => !control);
  if (without)
    throw new UserError(
      `--plant ${options.plant}: ${without.name} has no control`,
      'name rows that are held back: "control"',
    );
  if (context.dryRun) {
    context.print(`${plan.length} experiments, ${args.length} models`);
    context.json({ experiments: plan.map(({ name }) => name), models: args });
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const lines: Line[] = [];
  for (const ref of args) {
    const opened = await openModel(ref, options, (text) => context.warn(text));
    context.onExit(() => opened.checkpoint.close());
    const model = await Model.load(gpu, opened.checkpoint, { freeze: () => true });
    for (const { name, rows, control } of plan) {
      signal.throwIfAborted();
      const read = async (group: typeof rows) =>
        rowOutcomes(model, (await readBatches([group], opened, options.batch_size)).batches);
      const [own, other] = [await read(rows), await read(control!)];
      if (own.length === 0 || other.length === 0)
        throw new UserError(`${name}: there are no rows that count`, "give rows and control rows");
      for (const metric of ["loss", "exact"] as const) {
        const of = (found: typeof own) => found.map((one) => one[metric]);
        const effect = effectOf(of(own), of(other), { shuffles: options.shuffles, seed, name: `${name} ${metric}` });
        lines.push({ model: ref, experiment: name, metric, ...effect });
      }
    }
    model.free();
  }
  context.print(
    table(
      [
        ["model", "experiment", "metric", "planted", "control", "effect", "95 %", "p"],
        ...lines.map((line) => [
          ...[line.model, line.experiment, line.metric, places(line.planted), places(line.control)],
          ...[places(line.effect), `${places(line.low)} to ${places(line.high)}`, places(line.p)],
        ]),
      ],
      { align: "lllrrrrr" },
    ),
  );
  context.json({ rows: lines });
  return {};
}
