/**
 * `compress factor`: matrices of a low rank in the place of those of linear layers, block by block. No architecture
 * here holds two thin matrices for one, so they are multiplied out: the result tells what a rank costs.
 */
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { type Bound, bind } from "../../method/bind.ts";
import { Model } from "../../model/model.ts";
import { BlockPasses } from "../../run/calibrating/block-passes.ts";
import { humanBytes } from "../../text/format.ts";
import { compressModel, type LayerReport, placesOf } from "../compress-model.ts";
import type { FACTOR } from "../factor-options.ts";
import { type Factorization, multiplyOut, valuesOf } from "../factorization.ts";
import type { MeasuredLayer } from "../layer.ts";
import { targetsOf } from "../matrices.ts";
import { defineInputPruner, defineWeightPruner, type Pruner } from "../pruner.ts";
import { denseStorage } from "../storage.ts";
import { openCalibrated } from "./open-calibrated.ts";
import { bytesOf, writtenAs } from "./write-checkpoint.ts";

type FactorContext = Context<typeof FACTOR, "factorization">;

const DTYPES = { f32: "F32", bf16: "BF16", f16: "F16" } as const;

/** The rank for a matrix of this shape. */
export function rankFor(
  { rank, parameters }: { readonly rank?: number | undefined; readonly parameters?: number | undefined },
  rows: number,
  columns: number,
): number {
  const wanted = rank ?? Math.floor(((parameters ?? 1) * rows * columns) / (rows + columns));
  return Math.max(1, Math.min(wanted, rows, columns));
}

/** Values that factors hold, and those of the matrices that they stand for. */
interface Count {
  whole: number;
  factors: number;
}

/** A factorization as what changes a layer in place. */
function asPruner({ method, values }: Bound<Factorization>, options: FactorContext["options"], count: Count): Pruner {
  const { name, title, about, cite } = method;
  const info = { name, title, about, cite, options: {}, dense: "factors are multiplied out" };
  const put = async (layer: Parameters<typeof multiplyOut>[0], factors: Awaited<ReturnType<typeof method.factor>>) => {
    count.whole += layer.rows * layer.columns;
    count.factors += valuesOf(factors);
    await multiplyOut(layer, factors);
  };
  const rank = ({ rows, columns }: Pick<MeasuredLayer, "rows" | "columns">) => rankFor(options, rows, columns);
  if (method.needs === "weights")
    return defineWeightPruner({
      ...info,
      prune: async (layer) => put(layer, await method.factor(layer, rank(layer), values)),
    });
  return defineInputPruner({
    ...info,
    prune: async (layer) => put(layer, await method.factor(layer, rank(layer), values)),
  });
}

/** Throws UserError for options that do not go together. */
function chosen({ options, method, settings }: FactorContext): Bound<Factorization> {
  if (!method) throw new UserError("no --method", "for example --method svd; --list shows all kinds");
  const { rank, parameters, calibration } = options;
  if ((rank === undefined) === (parameters === undefined))
    throw new UserError(
      rank === undefined ? "nothing says how thin the factors are" : "--rank and --parameters both say how thin",
      "give one: --rank 16, or --parameters 0.5",
    );
  if (method.needs === "inputs" && !calibration)
    throw new UserError(
      `${method.name} goes by what layers read, and --calibration is missing`,
      "give rows as the model will read: --calibration rows.jsonl",
    );
  const bound = bind(method, settings);
  method.check?.(bound.values);
  return bound;
}

export async function factor(context: FactorContext): Promise<Outcome> {
  const { options, out, signal, seed, version } = context;
  const by = chosen(context);
  const { checkpoint, files, batches, rows } = await openCalibrated(context);
  const gpu = await openGpu({ device: context.device, dry: context.dryRun });
  const warn = (text: string) => context.warn(text);
  const loading = { dtype: "f32", freeze: () => true, offload: !isStream(checkpoint), warn } as const;
  const model = await Model.load(gpu, checkpoint, loading);
  const targets = targetsOf(model, options);
  const dtype = options.out_dtype && DTYPES[options.out_dtype];
  const storage = denseStorage(dtype);
  const tensors = [...placesOf({ model, targets, storage, dtype }).values()].flatMap((places) =>
    places.flatMap(({ infos }) => infos),
  );
  const matrices = targets.reduce((sum, { parts }) => sum + parts, 0);
  const bytes = { before: bytesOf(checkpoint), after: tensors.reduce((sum, { bytes: own }) => sum + own, 0) };
  if (context.dryRun) {
    if (options.json) context.json({ matrices, rows, bytes });
    else context.print(`${matrices} matrices, ${rows} rows; ${humanBytes(bytes.after)}, as before`);
    return {};
  }
  const step = { script: "compress factor", version, method: by.method.name, options: context.chosen, seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], warn);
  const writer = await createWriter(
    out,
    { tensors, files, lineage },
    {
      ...writtenAs(options),
      ...{ warn, hub: { warn, progress: context.progress } },
    },
  );
  context.onExit((ok) => (ok ? undefined : writer.abort()));
  const count: Count = { whole: 0, factors: 0 };
  const prune = { by: bind(asPruner(by, options, count), {}), target: { share: 0 } };
  const reports: LayerReport[] = [];
  context.progress.start({ total: matrices, unit: "matrices" });
  const work = {
    ...{ model, checkpoint, targets, storage, dtype, seed, signal, warn, stats: undefined, trueSequential: false },
    choices: { prune, measures: batches.length > 0 },
    passes: batches.length > 0 ? new BlockPasses(model, batches, signal) : undefined,
    isWanted: () => true,
    told(report: LayerReport) {
      reports.push(report);
      context.log.event("layer", { ...report });
      context.progress.advance(1, report.name, `E ${report.error.toPrecision(3)}`);
    },
  };
  for await (const { name, bytes: own } of compressModel(work)) await writer.write(name, own);
  await writer.finish();
  context.progress.done();
  model.free();
  const error = reports.reduce((sum, report) => sum + report.error, 0) / reports.length;
  const found = { matrices, error, values: { matrices: count.whole, factors: count.factors } };
  context.json({ ...found, bytes, layers: reports });
  context.info("no architecture holds factors: they are multiplied out, and the file is as large as before");
  const share = ((100 * count.factors) / count.whole).toFixed(0);
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes.after)})`,
    told: `E ${error.toPrecision(3)}, factors of ${share} % of the values`,
    log: found,
  };
}
