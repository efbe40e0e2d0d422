/** `sample vectors`: rows of numbers, drawn from a denoiser. */

import { filesOf } from "../../checkpoint/folder/files-of.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { isObject } from "../../json.ts";
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
      "bun run train --init CONFIG makes one, with model_type denoiser",
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

/** How many things the model's adapter can be asked for; 0 where it has none. */
function controlsOf({ adapter }: Model): number {
  const config: unknown = adapter && JSON.parse(adapter.config);
  return isObject(config) && typeof config.control_size === "number" ? config.control_size : 0;
}

/** Throws UserError for what the model cannot be asked for. */
function checkAsked({ options }: VectorsContext, model: Model, ref: string): void {
  const { ask } = options;
  if (ask === undefined) return;
  const known = controlsOf(model);
  if (known === 0)
    throw new UserError(
      `--ask ${ask}: ${ref} has no adapter that is asked for anything`,
      "bun run adapt nct makes one",
    );
  if (ask >= known)
    throw new UserError(`--ask ${ask}: ${ref} can be asked for ${known} things`, `give 0 to ${known - 1}`);
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
  checkAsked(context, model, opened.ref);
  const { ask } = options;
  const controls = ask === undefined ? 0 : controlsOf(model);
  const drawing = VectorSampler.of(model, { sampler, steps, seed, guidance, controls });
  const none = sizes.outputs;
  const labels = Int32Array.from({ length: count }, (_, i) => label ?? (each ? i % none : none));
  progress.start({ total: count, unit: "rows" });
  const lines: string[] = [];
  for (let first = 0; first < count; first += options.batch_size) {
    signal.throwIfAborted();
    const own = labels.subarray(first, first + options.batch_size);
    const asked = ask === undefined ? {} : { controls: new Int32Array(own.length).fill(ask) };
    const found = await drawing.draw({ first, labels: own, ...asked });
    for (const row of writtenRows(found, own, none)) lines.push(JSON.stringify(row));
    progress.advance(own.length);
  }
  progress.done();
  drawing.free();
  model.free();
  return result(lines.join("\n"), about);
}
