/** `merge regmean++`: models and the rows of each, merged part by part; see front/merge-through.ts. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { checkSave, prepareSave, saveModel } from "../../model/save.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import { quote } from "../../text/quote.ts";
import { mergeThrough, partsOf, type Reader } from "../front/merge-through.ts";
import type { REGMEAN } from "../front/options.ts";
import { counted, Notes } from "../plan/notes.ts";

type RegmeanContext = Context<typeof REGMEAN>;

/** Shares of the models. Throws UserError for what cannot be merged. */
function sharesOf({ args, options }: RegmeanContext): number[] {
  const { data, weight = args.map(() => 1) } = options;
  if (args.length === 0)
    throw new UserError(
      "there are no models to merge",
      "name them: merge regmean++ a/ b/ --data a.jsonl --data b.jsonl -o merged/",
    );
  if (args.includes("-"))
    throw new UserError(
      "a model that comes through a pipe is read once, and rows are read with it",
      "save it to a file",
    );
  if (data.length !== args.length)
    throw new UserError(
      `${counted(args.length, "model")} and ${counted(data.length, "file")} of rows`,
      "give --data once for each model, in their order",
    );
  if (weight.length !== args.length)
    throw new UserError(`${args.length} models have ${weight.length} weights`, "give --weight a number for each");
  if (weight.some((share) => !(share >= 0)) || !weight.some((share) => share > 0))
    throw new UserError(`the weights are ${weight.join(", ")}`, "give numbers from 0 on, some above 0");
  return [...weight];
}

/** Opens models and reads the rows of each; no weights. */
async function openAll(context: RegmeanContext) {
  const { args, options } = context;
  const found = [];
  for (const [k, ref] of args.entries()) {
    const opened = await openModel(ref, options, (text) => context.warn(text));
    context.onExit(() => opened.checkpoint.close());
    const { batches } = await readBatches(
      groupsOf([options.data[k]!], "--data", options.columns),
      opened,
      options.batch_size,
    );
    found.push({ ref, opened, batches });
  }
  return found;
}

export async function regmeanPlusPlus(context: RegmeanContext): Promise<Outcome> {
  const { args, options, out, signal } = context;
  const weights = sharesOf(context);
  refuseInputs(out, [...args, ...options.data]);
  const opened = await openAll(context);
  const first = opened[0]!;
  const step = {
    script: "merge regmean++",
    version: context.version,
    options: context.chosen,
    seed: context.seed,
  };
  const read = opened.map(({ opened: { checkpoint } }) => ({ checkpoint, role: "model" as const }));
  const saving = {
    files: first.opened.files,
    lineage: lineageOf(step, read, (text) => context.warn(text)),
    ...(options.shards === undefined ? {} : { shards: options.shards }),
    shardSize: options.shard_size,
    warn: (text: string) => context.warn(text),
    hub: { warn: (text: string) => context.warn(text), progress: context.progress },
  };
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const readers: Reader[] = [];
  for (const {
    ref,
    opened: { checkpoint },
    batches,
  } of opened)
    readers.push({ ref, batches, model: await Model.load(gpu, checkpoint, { dtype: "f32", freeze: () => true }) });
  const { model } = readers[0]!;
  const parts = partsOf(model);
  const passes = parts.filter(({ isMeasured }) => isMeasured).length;
  const rows = readers.map(({ batches }) => batches.reduce((sum, batch) => sum + batch.rows, 0));
  if (context.dryRun) {
    await checkSave(model, out, saving);
    context.print(
      `${parts.length} parts, ${passes} passes over ${rows.join(" + ")} rows; GPU memory for the models: ${humanBytes(gpu.pool.peak)}`,
    );
    context.json({ parts: parts.length, passes, rows, gpu_memory: gpu.pool.peak, out });
    return {};
  }
  const target = (await prepareSave(model, out, saving)) ?? out;
  const notes = new Notes();
  context.progress.start({ total: passes * rows.reduce((sum, count) => sum + count, 0), unit: "rows" });
  await mergeThrough(readers, {
    ...{ weights, reduce: options.reduce, signal },
    done: (count) => context.progress.advance(count),
    remark: (what, tensor) => notes.add(what, tensor),
  });
  context.progress.done();
  for (const line of notes.lines()) context.warn(line);
  const bytes = await saveModel(model, target, saving);
  for (const reader of readers) reader.model.free();
  context.json({ out, bytes, rows });
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})`,
    ...(out === "-" ? {} : { next: `bun run inspect ${quote(out)}` }),
  };
}
