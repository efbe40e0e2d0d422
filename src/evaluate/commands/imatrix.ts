/** `evaluate imatrix`: what a model's matrices read on rows, which GGUF files of few bits weigh their errors by. */
import { architectureOfType, GGUF_MODEL_TYPES } from "../../checkpoint/gguf/architectures.ts";
import { type ColumnSquares, imatrixContents } from "../../checkpoint/gguf/imatrix.ts";
import { ggufPlace } from "../../checkpoint/gguf/names.ts";
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { isTokens } from "../../data/batch.ts";
import { groupsOf } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { configOf } from "../../model/description.ts";
import { Model } from "../../model/model.ts";
import { type ActivationSquares, measureActivationSquares } from "../../run/activation-squares.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { openModel } from "../../run/open-model.ts";
import { humanBytes } from "../../text/format.ts";
import type { IMATRIX } from "../options.ts";

/** Statistics by the names that the matrices have in a GGUF file of the model; of modules without one none. */
function byStoredName(
  found: ReadonlyMap<string, ActivationSquares>,
  modelType: string,
): ReadonlyMap<string, ColumnSquares> {
  const architecture = architectureOfType(modelType)!;
  const named = new Map<string, ColumnSquares>();
  for (const [module, { columns, sums, counts }] of found) {
    // A stack is named without its experts' numbers: all are in one tensor of the file.
    const of = module.replace(/\.experts\.(?=\D)/, ".experts.0.");
    const place = ggufPlace(`${of}.weight`, architecture);
    if (place) named.set(place.name, { columns, sums: Float32Array.from(sums), counts: Float32Array.from(counts) });
  }
  return named;
}

export async function writeImatrix(context: Context<typeof IMATRIX>): Promise<Outcome> {
  const { options, signal, out } = context;
  if (out !== "-" && !out.endsWith(".gguf"))
    throw new UserError(`an importance matrix is a GGUF file, and ${out} is none`, "write -o model.imatrix.gguf");
  const ref = context.args[0] ?? "-";
  const opened = await openModel(ref, options, (text) => context.warn(text));
  const { checkpoint } = opened;
  context.onExit(() => checkpoint.close());
  const modelType = String(configOf(checkpoint).model_type);
  if (architectureOfType(modelType) === undefined)
    throw new UserError(
      `${ref}: a GGUF file is not made of models of type ${modelType} here, so none can be quantized by statistics of one`,
      `it is made of ${GGUF_MODEL_TYPES.join(", ")}`,
    );
  const groups = groupsOf(options.data, "--data", options.columns);
  const batches = (await readBatches(groups, opened, options.batch_size)).batches.filter(isTokens);
  const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
  const tokens = batches.reduce((sum, { lengths }) => sum + lengths.reduce((all, length) => all + length, 0), 0);
  if (context.dryRun) {
    if (options.json) context.json({ rows, tokens });
    else context.print(`${rows} rows of ${tokens} tokens`);
    return {};
  }
  await tryTarget(out);
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, checkpoint, { dtype: options.dtype, freeze: () => true });
  context.progress.start({ total: batches.length, unit: "batches" });
  const found = await measureActivationSquares(model, batches, { signal, done: () => context.progress.advance(1) });
  context.progress.done();
  model.free();
  const { entries, tensors, values } = imatrixContents({
    of: byStoredName(found, modelType),
    datasets: groups.map(({ path }) => path),
    chunks: rows,
    chunkSize: Math.max(...batches.flatMap(({ lengths }) => [...lengths])),
  });
  const writer = await createWriter(out, { tensors, files: new Map(), lineage: [], gguf: entries });
  try {
    for (const [name, data] of values) await writer.write(name, new Uint8Array(data.buffer));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  context.json({ rows, tokens, matrices: values.size / 2, out, bytes: writer.bytes });
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(writer.bytes)})` };
}
