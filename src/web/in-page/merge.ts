/** A merge of chosen files, from what the page was told to the bytes of the result: the command `merge`, for files. */
import pkg from "../../../package.json";
import { isAdapter } from "../../checkpoint/adapter/adapter.ts";
import type { Dtype } from "../../checkpoint/dtype.ts";
import { recipeDtype } from "../../checkpoint/lineage/recipe/read-recipe.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { layoutFile } from "../../checkpoint/write/shards.ts";
import { UserError } from "../../errors.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import { historyOf } from "../../merge/history.ts";
import { peakBytes } from "../../merge/job/run.ts";
import { recipeFromArguments } from "../../merge/plan/arguments.ts";
import { planMerge } from "../../merge/plan/merge-plan.ts";
import { OpenModels } from "../../merge/plan/open-models.ts";
import { outputsOf } from "../../merge/plan/plan-bytes.ts";
import { originsOf } from "../../merge/plan/read-again.ts";
import { checkTwins } from "../../merge/plan/twins.ts";
import { mergeWatched } from "../../merge/watched.ts";
import { setFiles } from "./files.ts";
import { methodNamed } from "./methods.ts";
import type { Output } from "./output.ts";

/** What is to be merged, as the command line has it. */
export interface Asked {
  readonly files: ReadonlyMap<string, Blob>;
  readonly models: readonly string[];
  readonly base: string | undefined;
  readonly method: string;
  /** Options of the method that were given, as typed. */
  readonly values: ReadonlyMap<string, string>;
  readonly dtype?: string;
  readonly outDtype?: string;
}

/** Hears how it goes. */
export interface Listener {
  warn(text: string): void;
  /** Bytes done and in all, and the tensor that is done. */
  progress(done: number, total: number, tensor: string): void;
}

let device: Promise<Gpu> | undefined;

/** The device, opened once. Throws UserError where the browser has none. */
export function gpuOfPage(): Promise<Gpu> {
  if (!("gpu" in navigator))
    throw new UserError(
      "this browser offers the page no WebGPU",
      "use a Chromium (113 or later), a Firefox (141) or a Safari (26), and open the page from the disk or over https",
    );
  device ??= openGpu();
  device.catch(() => {
    device = undefined;
  });
  return device;
}

const dtypeOf = (text: string | undefined): Dtype | undefined => (text ? recipeDtype(text) : undefined);

/** Throws UserError for an adapter: what a merge of those gives is another matter. */
async function refuseAdapters(names: Iterable<string>): Promise<void> {
  for (const name of names) {
    const checkpoint = await openPlain(name);
    checkpoint.close();
    if (isAdapter(checkpoint))
      throw new UserError(`${name} is an adapter; the page merges whole models`, "use the command line: ingot merge");
  }
}

/**
 * Merges into `output`, which is left unfinished where it fails. Throws UserError for files that are no checkpoints or
 * do not fit together, and for values that the method does not take.
 */
export async function mergeFiles(asked: Asked, output: Output, listener: Listener, signal: AbortSignal) {
  setFiles(asked.files);
  const method = methodNamed(asked.method);
  const [dtype, outDtype] = [dtypeOf(asked.dtype), dtypeOf(asked.outDtype)];
  const recipe = recipeFromArguments({
    models: asked.models,
    ...(asked.base !== undefined && { base: asked.base }),
    method,
    values: asked.values,
    ...(dtype && { dtype }),
    ...(outDtype && { outDtype }),
  });
  const warn = (text: string) => listener.warn(text);
  await refuseAdapters(new Set([...asked.models, ...(asked.base === undefined ? [] : [asked.base])]));
  const models = new OpenModels(new Map(), warn);
  try {
    const opened = await models.open(recipe);
    const plan = await planMerge(recipe, opened, method);
    const origins = originsOf(models);
    for (const text of [...plan.warnings, ...(await checkTwins(plan.tensors, origins.readAgain))]) warn(text);
    const given = { ...{ picks: {}, options: {}, set: [], seed: 0 }, raw: asked.values, version: pkg.version, warn };
    const lineage = historyOf(given, recipe, undefined, opened, true);
    const tensors = outputsOf(plan);
    const file = layoutFile({ tensors, files: plan.files, lineage }, output.name);
    const gpu = await gpuOfPage();
    await output.write(file.header);
    let done = file.header.length;
    const sizes = new Map(tensors.map(({ name, bytes }) => [name, bytes]));
    const remarks = await mergeWatched({
      ...{ gpu, method, tasks: plan.tensors, signal },
      sink: { write: (_, bytes) => output.write(bytes) },
      settings: { seed: 0, compatRounding: false, compatBugs: false },
      done: ({ name }) => {
        done += sizes.get(name)!;
        listener.progress(done, file.bytes, name);
      },
    });
    await output.finish();
    for (const text of await remarks(origins)) warn(text);
    return { bytes: file.bytes, tensors: tensors.length, peak: peakBytes(plan.tensors, method, gpu.adapter) };
  } finally {
    models.close();
  }
}
