/** A merge of chosen files, from what the page was told to the bytes of the result: the command `merge`, for files. */
import pkg from "../../../package.json";
import { isAdapter } from "../../checkpoint/adapter/adapter.ts";
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
  /** `float32`, `bfloat16`, `float16`; empty where there is no wish. */
  readonly dtype?: string;
  readonly outDtype?: string;
}

/** Hears how it goes. */
export interface Listener {
  warn(text: string): void;
  /** Bytes done and in all, and the tensor that is done. */
  progress(done: number, total: number, tensor: string): void;
}

/** What was written, by which adapter, and how much of its memory tensors took at most by the plan's reckoning. */
export interface Merged {
  readonly name: string;
  readonly bytes: number;
  readonly tensors: number;
  readonly adapter: string;
  readonly memory: number;
}

let device: Promise<Gpu> | undefined;

/** The device, opened once. Throws UserError where the browser has none. */
async function gpuOfPage(): Promise<Gpu> {
  if (!("gpu" in navigator))
    throw new UserError(
      "this browser offers the page no WebGPU",
      "use a Chromium (113 or later), a Firefox (141) or a Safari (26), and open the page from the disk or over https",
    );
  device ??= openGpu();
  try {
    return await device;
  } catch (error) {
    device = undefined;
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.message, "the browser has no driver for a GPU; chrome://gpu or about:support say why");
  }
}

/** After a failure the next merge begins on a new device. */
async function closeGpu(): Promise<void> {
  const failed = device;
  device = undefined;
  (await failed?.catch(() => undefined))?.close();
}

/** Throws UserError for an adapter: what a merge of those gives is another matter. */
async function refuseAdapters(names: Iterable<string>): Promise<void> {
  for (const name of names) {
    const checkpoint = await openPlain(name);
    checkpoint.close();
    if (isAdapter(checkpoint))
      throw new UserError(`${name} is an adapter; the page merges whole models`, "use the command line: ingot merge");
  }
}

/** Everything that is known before weights are read: the plan, and the file that will be written. */
async function planFiles(asked: Asked, models: OpenModels, warn: (text: string) => void) {
  const method = methodNamed(asked.method);
  const [dtype, outDtype] = [asked.dtype, asked.outDtype].map((text) => (text ? recipeDtype(text) : undefined));
  const base = asked.base === undefined ? {} : { base: asked.base };
  const types = { ...(dtype && { dtype }), ...(outDtype && { outDtype }) };
  const recipe = recipeFromArguments({ models: asked.models, ...base, method, values: asked.values, ...types });
  await refuseAdapters(new Set([...asked.models, ...Object.values(base)]));
  const opened = await models.open(recipe);
  const plan = await planMerge(recipe, opened, method);
  const origins = originsOf(models);
  for (const text of [...plan.warnings, ...(await checkTwins(plan.tensors, origins.readAgain))]) warn(text);
  const given = { ...{ picks: {}, options: {}, set: [], seed: 0 }, raw: asked.values, version: pkg.version, warn };
  const lineage = historyOf(given, recipe, undefined, opened, true);
  const tensors = outputsOf(plan);
  return { method, plan, origins, file: layoutFile({ tensors, files: plan.files, lineage }, "result") };
}

type Planned = Awaited<ReturnType<typeof planFiles>>;

/** Writes the planned file. Rejects with the first failure, and then the output is as it was. */
async function writePlanned(
  { method, plan, origins, file }: Planned,
  output: Output,
  listener: Listener,
  signal: AbortSignal,
): Promise<Merged> {
  try {
    const gpu = await gpuOfPage();
    await output.write(file.header);
    let done = file.header.length;
    const sizes = new Map(file.tensors.map(({ name, bytes }) => [name, bytes]));
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
    for (const text of await remarks(origins)) listener.warn(text);
    const { vendor, architecture, device: model } = gpu.adapter;
    const adapter = [vendor, model || architecture].filter(Boolean).join(" ");
    const memory = peakBytes(plan.tensors, method, gpu.adapter).gpu;
    return { name: output.name, bytes: file.bytes, tensors: file.tensors.length, adapter, memory };
  } catch (error) {
    await output.abort();
    await closeGpu();
    throw error;
  }
}

/**
 * Merges. Where the result goes is asked of `place` when everything fits; undefined means that nothing is to be made.
 * Throws UserError for files that are no checkpoints or do not fit together, and for values that the method does not
 * take.
 */
export async function mergeFiles(
  asked: Asked,
  place: () => Promise<Output | undefined>,
  listener: Listener,
  signal: AbortSignal,
): Promise<Merged | undefined> {
  setFiles(asked.files);
  const models = new OpenModels(new Map(), listener.warn);
  try {
    const planned = await planFiles(asked, models, listener.warn);
    const output = await place();
    return output && (await writePlanned(planned, output, listener, signal));
  } finally {
    models.close();
  }
}
