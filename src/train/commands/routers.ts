/** `train routers`: routers of a frozen model's layers, fitted to ways that were found. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { writeRouters } from "../../run/depth/write-routers.ts";
import { openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import { fitRouters } from "../routers/fit.ts";
import type { FIT } from "../routers/options.ts";
import { labelledRows } from "../routers/way-rows.ts";

export async function trainRouters(context: Context<typeof FIT>): Promise<Outcome> {
  const { options, out, signal, progress, seed } = context;
  const warn = (text: string) => context.warn(text);
  const ref = context.args[0] ?? "-";
  const opened = await openModel(ref, options, warn);
  context.onExit(() => opened.checkpoint.close());
  const { tools, sizes } = opened;
  if (!tools) throw new UserError(`${ref} is a classifier; routers read prompts`, "give a language model");
  refuseInputs(out, [ref, ...options.data]);
  const rows = await labelledRows(groupsOf(options.data, "--data", options.columns), tools, sizes.layers);
  const steps = options.epochs * Math.ceil(rows.length / (options.batch_size * options.accumulate));
  if (context.dryRun) {
    context.print(`${sizes.layers} routers on ${rows.length} rows, ${steps} steps`);
    context.json({ rows: rows.length, layers: sizes.layers, steps });
    return {};
  }
  if (steps < options.warmup)
    warn(`the rate grows for ${options.warmup} steps, and there are ${steps}; --warmup says how long`);
  await tryTarget(out);
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { dtype: options.dtype, freeze: () => true });
  progress.start({ total: options.epochs * rows.length, unit: "rows" });
  const { routers, loss } = await fitRouters(model, rows, {
    ...{ hidden: options.hidden, epochs: options.epochs, batch: options.batch_size, accumulate: options.accumulate },
    ...{
      lr: options.lr,
      warmUp: options.warmup,
      decay: options.weight_decay,
      gamma: options.gamma,
      beta: options.beta,
    },
    ...{ seed, signal, pad: tools.tokenizer?.pad ?? 0 },
    done: (count, mean) => progress.advance(count, undefined, `loss ${mean.toFixed(4)}`),
  });
  progress.done();
  const step = { script: "train routers", version: context.version, options: context.chosen, seed };
  const data = options.data.map((name) => ({ ref: name, role: "data" }));
  const lineage = lineageOf(step, [{ checkpoint: opened.checkpoint, role: "model" }], warn, data);
  const bytes = await writeRouters(gpu, routers, { out, lineage });
  routers.free();
  model.free();
  context.json({ rows: rows.length, layers: sizes.layers, steps, loss, out, bytes });
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`, told: `loss ${loss.toFixed(4)}` };
}
