/** What `compress` does: it sets weights of linear layers to zero or rounds them, and writes the smaller checkpoint. */
import { lineageOf } from "../checkpoint/lineage/input.ts";
import { isStream } from "../checkpoint/stream/stream.ts";
import type { OutputPlan } from "../checkpoint/write/shards.ts";
import { createWriter } from "../checkpoint/write/write.ts";
import type { WriteOptions, Writer } from "../checkpoint/write/writer.ts";
import type { Context, Outcome } from "../cli/context.ts";
import { UserError } from "../errors.ts";
import { openGpu } from "../gpu/gpu.ts";
import { Model } from "../model/model.ts";
import { BlockPasses } from "../run/calibrating/block-passes.ts";
import { checkPlan, readPlan } from "./bit-search/plan-file.ts";
import { chooseWork } from "./choices.ts";
import { openCalibrated } from "./commands/open-calibrated.ts";
import { writtenAs } from "./commands/write-checkpoint.ts";
import { compressModel, type LayerReport, placesOf, type Work } from "./compress-model.ts";
import { storageFor } from "./layout-storage.ts";
import { refuseUneven, targetsOf } from "./matrices.ts";
import { planMemory } from "./memory.ts";
import type { COMPRESS } from "./options.ts";
import { tellEnd, tellPlan } from "./report.ts";
import type { Storage } from "./storage.ts";
import { StoredInputs } from "./stored-inputs.ts";

type CompressContext = Context<typeof COMPRESS>;

const DTYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

/** Options without those that say into how many files a result goes: lineage is the same for every shard. */
const withoutShards = (options: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(options).filter(([name]) => name !== "shard" && name !== "shards"));

export async function compress(context: CompressContext): Promise<Outcome> {
  const { options, signal, seed } = context;
  const plan = options.plan === undefined ? undefined : await readPlan(options.plan);
  const choices = chooseWork(options, context.picks, plan);
  const { stats: statsRef } = options;
  const { checkpoint, files, batches, rows } = await openCalibrated(context, statsRef === undefined ? [] : [statsRef]);
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const model = await Model.load(gpu, checkpoint, {
    ...{ dtype: options.dtype, freeze: () => true, offload: !isStream(checkpoint) },
    warn: (text) => context.warn(text),
  });
  const targets = targetsOf(model, options);
  if (plan) checkPlan(plan, targets);
  if (choices.prune && "of" in choices.prune.target) refuseUneven(targets, choices.prune.target);
  const dtype = options.out_dtype && DTYPES[options.out_dtype];
  const storage = storageOf(context, { model, targets, choices, dtype });
  const infos = [...placesOf({ model, targets, storage, dtype }).values()].flatMap((places) =>
    places.flatMap((place) => place.infos),
  );
  const step = { script: "compress", version: context.version, options: withoutShards(context.chosen), seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  const output: OutputPlan = { tensors: infos, files: storage.files(files), lineage };
  const before = [...checkpoint.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  const stats = statsRef === undefined ? undefined : await StoredInputs.open(statsRef, targets);
  context.onExit(() => stats?.close());
  if (context.dryRun) {
    const memory = await planMemory(model, targets, batches, signal);
    return tellPlan(context, { plan: output, format: storage.name, before, matrices: targets.length, rows, memory });
  }
  const writer = await begin(context, output);
  const passes = batches.length > 0 ? new BlockPasses(model, batches, signal) : undefined;
  const reports: LayerReport[] = [];
  context.progress.start({ total: targets.reduce((sum, { parts }) => sum + parts, 0), unit: "matrices" });
  const told = (report: LayerReport) => {
    reports.push(report);
    context.log.event("layer", { ...report });
    context.progress.advance(1, report.name, `E ${report.error.toPrecision(3)}`);
  };
  try {
    const work = { model, checkpoint, targets, choices, storage, dtype, passes, stats, seed, signal, told };
    const written = new Set(writer.tensors.map(({ name }) => name));
    const tensors = compressModel({
      ...work,
      isWanted: (name) => written.has(name),
      trueSequential: options.true_sequential,
      warn: (text) => context.warn(text),
    });
    for await (const { name, bytes } of tensors) await writer.write(name, bytes);
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  context.progress.done();
  model.free();
  const after = writer.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  return tellEnd(context, { reports, format: storage.name, before, after, gpuBytes: gpu.pool.peak });
}

/** How the changed matrices are stored: plain in a GGUF file, which has types of its own. */
function storageOf(
  { options, out }: CompressContext,
  { model, targets, choices, dtype }: Pick<Work, "model" | "targets" | "choices" | "dtype">,
): Storage {
  const { quantize } = choices;
  if (quantize)
    for (const { stored, columns } of targets)
      quantize.by.method.check?.({ ...quantize.scheme(stored.name, columns), scales: "f32" }, quantize.by.values);
  const isGguf = out.endsWith(".gguf");
  if (isGguf && !["auto", "dense"].includes(options.format))
    throw new UserError(
      `a GGUF file holds no codes of ${options.format}`,
      "leave out --format, and give --gguf-type q4_k_m",
    );
  const changed = new Set(targets.map(({ stored }) => stored.parameter));
  const linear = new Set(model.specs.filter((spec) => spec.linear).map(({ name }) => name));
  const others = model.stored.filter(({ parameter }) => linear.has(parameter.name) && !changed.has(parameter));
  const dtypes = new Set(targets.map(({ stored }) => dtype ?? stored.dtype));
  const plain = dtypes.has("BF16") ? "BF16" : dtypes.has("F16") ? "F16" : "F32";
  const wanted = { targets, quantize, others: others.map(({ name }) => name), plain, piped: out === "-" } as const;
  return storageFor(isGguf ? "dense" : options.format, wanted, dtype);
}

/** The share of the result that this run writes. */
function shardOf({ shard, overwrite }: CompressContext["options"]): Pick<WriteOptions, "shard" | "overwrite"> {
  if (shard === undefined) return {};
  const [, index = 0, count = 0] = (/^(\d+)\/(\d+)$/.exec(shard) ?? []).map(Number);
  if (!(index >= 1 && index <= count))
    throw new UserError(`--shard ${shard} is not I/N with I from 1 to N`, "for example --shard 2/8");
  return { shard: { index, count }, overwrite: overwrite === true };
}

/** How the result is written. */
function writing({ options, ...context }: CompressContext): WriteOptions {
  return {
    ...writtenAs(options),
    ...shardOf(options),
    warn: (message: string) => context.warn(message),
    hub: { warn: (text: string) => context.warn(text), progress: context.progress },
  };
}

/** Opens the target, so that what cannot be written is refused before the work. */
async function begin(context: CompressContext, plan: OutputPlan): Promise<Writer> {
  const writer = await createWriter(context.out, plan, writing(context));
  context.onExit((ok) => (ok ? undefined : writer.abort()));
  return writer;
}
