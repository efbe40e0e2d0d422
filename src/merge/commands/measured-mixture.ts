/** What the sub-commands that take a mixture apart have in common: opening it, measuring its routers, writing. */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { createWriter, writtenBytes } from "../../checkpoint/write/write.ts";
import type { Context, Outcome, PlainContext } from "../../cli/context.ts";
import { isTokens, type TokenBatch } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { asFarAsItGoes } from "../../gpu/dry-device.ts";
import { type Gpu, openGpu } from "../../gpu/gpu.ts";
import type { Json } from "../../model/architecture.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { type DescribedModel, openModel } from "../../run/open-model.ts";
import { type LayerRouting, measureRouting } from "../../run/tracing/routing.ts";
import { humanBytes } from "../../text/format.ts";
import { table } from "../../text/table.ts";
import { type Mixture, mixtureOf } from "../experts/mixture.ts";
import type { DENSE, MSMOE } from "../experts/options.ts";
import { type MadeTensor, PIECE, writeMade } from "../experts/values.ts";
import { withoutShards, writeOptions } from "../write-options.ts";

export type MixtureContext = Context<typeof MSMOE> | Context<typeof DENSE>;

export interface OpenedMixture {
  readonly mixture: Mixture;
  readonly described: DescribedModel;
}

/** Opens the mixture that the arguments name. Throws UserError for a model that is none. */
export async function openMixture(context: MixtureContext): Promise<OpenedMixture> {
  const opened = await openModel(context.args[0] ?? "-", context.options, (text) => context.warn(text));
  context.onExit(() => opened.checkpoint.close());
  return { mixture: mixtureOf(opened), described: opened };
}

/** One GPU for all that asks, opened when the first does. */
export function onceGpu(context: PlainContext, dry = false): () => Promise<Gpu> {
  let gpu: Promise<Gpu> | undefined;
  return () => {
    gpu ??= openGpu({ device: context.device, ...(dry && { dry }) });
    return gpu;
  };
}

/** How the routers send the rows of --calib. */
export async function measured(
  context: MixtureContext,
  { mixture, described }: OpenedMixture,
  openGpu: () => Promise<Gpu>,
): Promise<ReadonlyMap<number, LayerRouting>> {
  const { options, signal } = context;
  const groups = groupsOf(options.calib!, "--calib", options.columns);
  const read = (await readBatches(groups, described, options.batch_size)).batches;
  const batches: TokenBatch[] = read.filter(isTokens);
  const model = await Model.load(await openGpu(), mixture.checkpoint, {
    ...{ freeze: () => true, offload: options.offload, dtype: "keep" },
  });
  context.progress.start({ total: batches.length, unit: "batches" });
  try {
    return await measureRouting(model, batches, { signal, done: () => context.progress.advance(1) });
  } finally {
    context.progress.done();
    model.free();
  }
}

export interface MixtureResult {
  readonly script: "merge msmoe" | "merge dense";
  readonly tensors: readonly MadeTensor[];
  readonly config: Json;
  /** Done once the target is known to be writable, before the first tensor is. */
  readonly prepare: (gpu: () => Promise<Gpu>) => Promise<unknown>;
  /** What the result's tensors are computed on. */
  readonly gpu: () => Promise<Gpu>;
  /** Bytes of the host for one tensor on its way. */
  readonly host: number;
  /** Lines of the dry run, and what is told of the result for machines. */
  readonly facts: readonly (readonly [string, string])[];
  readonly json: () => Record<string, unknown>;
}

/** Writes the result, or says in a dry run what that takes. */
export async function writeMixture(
  context: MixtureContext,
  { mixture }: OpenedMixture,
  result: MixtureResult,
): Promise<Outcome> {
  const { checkpoint } = mixture;
  const options = withoutShards(context.chosen);
  const step = { script: result.script, version: context.version, options, seed: context.seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  const files = new Map(checkpoint.files);
  files.set("config.json", new TextEncoder().encode(`${JSON.stringify(result.config, null, 2)}\n`));
  const output = { tensors: result.tensors, files, lineage };
  const writing = writeOptions({ options: { ...context.options }, warn: (text) => context.warn(text) });
  if (context.dryRun) {
    const gpu = onceGpu(context, true);
    await asFarAsItGoes(() => result.prepare(gpu));
    const bytes = writtenBytes(context.out, output, writing) ?? sum(result.tensors);
    const held = context.options.calib || context.options.align ? (await gpu()).pool.peak : 0;
    const host = 4 * PIECE + result.host;
    const rows = [
      ...result.facts,
      ["writes", humanBytes(bytes)],
      ["GPU memory", held === 0 ? "none, or two experts" : `at least ${humanBytes(held)}`],
      ["host memory", `at most ${humanBytes(host)} beside the process; a software driver's GPU memory comes on top`],
    ];
    context.print(table(rows.map((row) => [...row])));
    context.json({ ...result.json(), output: bytes, gpu_memory: held, host_memory: host, out: context.out });
    return {};
  }
  const hub = { warn: (text: string) => context.warn(text), progress: context.progress };
  const writer = await createWriter(context.out, output, { ...writing, hub });
  context.onExit((ok) => (ok ? undefined : writer.abort()));
  await result.prepare(result.gpu);
  context.progress.start({ total: sum(writer.tensors), unit: "bytes" });
  const advance = (bytes: number, name: string) => context.progress.advance(bytes, name);
  const remarks = await writeMade(writer, result.tensors, context.signal, advance);
  await writer.finish();
  context.progress.done();
  for (const remark of remarks) context.warn(remark);
  if (isStream(checkpoint)) await checkpoint.finish();
  context.json({ ...result.json(), out: context.out, bytes: writer.bytes, tensors: writer.tensors.length });
  return { output: `${context.out === "-" ? "stdout" : context.out} (${humanBytes(writer.bytes)})` };
}

const sum = (tensors: readonly { readonly bytes: number }[]): number =>
  tensors.reduce((total, { bytes }) => total + bytes, 0);
