/** `sample vectors`: rows of numbers, drawn from a denoiser. */

import { filesOf } from "../../checkpoint/folder/files-of.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { VectorSampler } from "../../run/denoising/sampler.ts";
import { writtenRows } from "../../run/denoising/written-rows.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import type { VECTORS } from "../vector-options.ts";

type VectorsContext = Context<typeof VECTORS>;

/** Throws UserError for a model that is no denoiser, and for classes that it does not know. */
function check({ options }: VectorsContext, { ref, task, architecture, sizes }: DescribedModel): void {
  if (task !== "denoiser")
    throw new UserError(
      `sample vectors draws from denoisers, and ${ref} is a ${architecture.name}`,
      "train --init a config of model_type denoiser",
    );
  const { label, each_label: each, guidance } = options;
  const { outputs: classes } = sizes;
  if (label !== undefined && each)
    throw new UserError("--label and --each-label both say which classes are drawn", "give one of them");
  const flag = label !== undefined ? "--label" : each ? "--each-label" : undefined;
  if (flag && classes === 0)
    throw new UserError(`${flag}: ${ref} knows no classes (num_labels of config.json)`, "leave it out");
  if (label !== undefined && label >= classes)
    throw new UserError(`--label ${label}: ${ref} has ${classes} classes`, `give 0 to ${classes - 1}`);
  if (guidance !== 1 && !flag)
    throw new UserError("--guidance draws towards a class, and none is named", "give --label or --each-label");
}

export async function vectors(context: VectorsContext): Promise<Outcome> {
  const { options, seed, signal, progress } = context;
  const opened = await openModel(context.args[0] ?? "-", {}, (text) => context.warn(text));
  const { checkpoint, sizes } = opened;
  context.onExit(() => checkpoint.close());
  check(context, opened);
  const result = textResult(context, filesOf(opened.ref));
  const { count, steps, sampler, label, each_label: each, guidance } = options;
  const about = { rows: count, values: sizes.example?.[0] ?? 0, steps };
  if (context.dryRun) {
    context.print(`${count} rows of ${about.values} numbers, ${steps} steps each`);
    context.json(about);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, checkpoint, { freeze: () => true, warn: (text) => context.warn(text) });
  const drawing = VectorSampler.of(model, { sampler, steps, seed, guidance });
  const none = sizes.outputs;
  const labels = Int32Array.from({ length: count }, (_, i) => label ?? (each ? i % none : none));
  progress.start({ total: count, unit: "rows" });
  const lines: string[] = [];
  for (let first = 0; first < count; first += options.batch_size) {
    signal.throwIfAborted();
    const own = labels.subarray(first, first + options.batch_size);
    const found = await drawing.draw({ first, labels: own });
    for (const row of writtenRows(found, own, none)) lines.push(JSON.stringify(row));
    progress.advance(own.length);
  }
  progress.done();
  drawing.free();
  model.free();
  return result(lines.join("\n"), about);
}
