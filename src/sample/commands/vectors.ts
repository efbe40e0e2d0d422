/** `sample vectors`: rows of numbers, drawn from a denoiser. */

import { filesOf } from "../../checkpoint/folder/files-of.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { isObject } from "../../json.ts";
import { Model } from "../../model/model.ts";
import { noiseSizes } from "../../run/denoising/noised.ts";
import { VectorSampler } from "../../run/denoising/sampler.ts";
import { writtenRows } from "../../run/denoising/written-rows.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { denoiseOf, openSecond, readDrafts } from "../vector-models.ts";
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

/** Which class each row is of: the one that options name, else that of its draft, else none. */
function labelsOf({ options }: VectorsContext, none: number, drafted: Int32Array | undefined): Int32Array {
  const { count, label, each_label: each } = options;
  const of = (i: number) => label ?? (each ? i % none : (drafted?.[i] ?? none));
  return Int32Array.from({ length: drafted?.length ?? count }, (_, i) => of(i));
}

/** How many of the steps drafts go through; undefined without drafts. Throws UserError for more than there are. */
function startStep({ options }: VectorsContext): number | undefined {
  const { draft, steps, start_step: start } = options;
  if (draft === undefined) return undefined;
  if (start !== undefined && start > steps)
    throw new UserError(`--start-step ${start}: there are ${steps} steps`, `give 0 to ${steps}, or more --steps`);
  return start ?? Math.ceil(steps / 5);
}

const joined = (rows: readonly Float32Array[]): Float32Array =>
  Float32Array.from(rows.flatMap((row) => Array.from(row)));

export async function vectors(context: VectorsContext): Promise<Outcome> {
  const { options, seed, signal, progress } = context;
  const warn = (text: string) => context.warn(text);
  const opened = await openModel(context.args[0] ?? "-", {}, warn);
  const { checkpoint, sizes } = opened;
  context.onExit(() => checkpoint.close());
  check(context, opened);
  const last = startStep(context);
  const second = await openSecond(options, opened, warn);
  context.onExit(() => second?.checkpoint.close());
  const { draft } = options;
  const result = textResult(context, [
    ...[opened.ref, ...(second ? [second.ref] : [])].flatMap(filesOf),
    ...(draft === undefined ? [] : [draft]),
  ]);
  const drafts = await readDrafts(options, opened);
  const labels = labelsOf(context, sizes.outputs, drafts?.labels);
  const { steps, sampler, ask } = options;
  const about = { rows: labels.length, values: sizes.example?.[0] ?? 0, steps: last ?? steps };
  if (context.dryRun) {
    context.print(`${about.rows} rows of ${about.values} numbers, ${about.steps} steps each`);
    context.json(about);
    return {};
  }
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, checkpoint, { freeze: () => true, warn });
  checkAsked(context, model, opened.ref);
  const controls = ask === undefined ? 0 : controlsOf(model);
  const { denoise, free } = await denoiseOf(gpu, model, second, options);
  const drawing = new VectorSampler(gpu, denoise, {
    ...{ sampler, steps, seed, controls, last, width: about.values },
    ...{ noise: noiseSizes(model), classes: sizes.outputs },
  });
  progress.start({ total: labels.length, unit: "rows" });
  const lines: string[] = [];
  for (let first = 0; first < labels.length; first += options.batch_size) {
    signal.throwIfAborted();
    const own = labels.subarray(first, first + options.batch_size);
    const given = drafts && joined(drafts.rows.slice(first, first + own.length));
    const asked = ask === undefined ? {} : { controls: new Int32Array(own.length).fill(ask) };
    const found = last === 0 && given ? given : await drawing.draw({ first, labels: own, drafts: given, ...asked });
    for (const row of writtenRows(found, own, sizes.outputs)) lines.push(JSON.stringify(row));
    progress.advance(own.length);
  }
  progress.done();
  drawing.free();
  free();
  model.free();
  return result(lines.join("\n"), about);
}
