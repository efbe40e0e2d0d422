/** `evaluate gram`: Gram matrices of what a model's linear layers read on rows, for `merge --method regmean`. */
import { tryTarget } from "../../checkpoint/write/try-target.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { groupsOf } from "../../data/groups.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { readBatches } from "../../run/batches-in-order.ts";
import { readPieces } from "../../run/fisher/squared-gradients.ts";
import { type GramMatrices, measureGramMatrices } from "../../run/gram/gram-matrices.ts";
import { openModel } from "../../run/open-model.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { humanBytes } from "../../text/format.ts";
import type { GRAM } from "../options.ts";

/** Writes means of outer products under the names of their weights; gives the bytes and how many there are. */
async function write(model: Model, grams: GramMatrices, out: string): Promise<{ bytes: number; matrices: number }> {
  const matrices = grams.matrices();
  const tensors = matrices.map(({ name, shape }) => {
    return { name, shape, dtype: "F32" as const, bytes: 4 * sizeOf(shape) };
  });
  const writer = await createWriter(out, { tensors, files: new Map(), lineage: [] });
  try {
    for (const { name, shape, buffer, start } of matrices) {
      for await (const piece of readPieces(model.gpu, buffer, sizeOf(shape), start)) {
        const means = piece.map((sum) => sum * grams.share);
        await writer.write(name, new Uint8Array(means.buffer));
      }
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return { bytes: writer.bytes, matrices: matrices.length };
}

export async function writeGram(context: Context<typeof GRAM>): Promise<Outcome> {
  const { options, signal, out } = context;
  const ref = context.args[0] ?? "-";
  const opened = await openModel(ref, options, (text) => context.warn(text));
  context.onExit(() => opened.checkpoint.close());
  refuseInputs(out, [ref, ...options.data.map((data) => data.slice(data.indexOf("=") + 1))]);
  const { batches, rows } = await readBatches(
    groupsOf(options.data, "--data", options.columns),
    opened,
    options.batch_size,
  );
  if (context.dryRun) {
    if (options.json) context.json({ rows, batches: batches.length });
    else context.print(`${rows} rows in ${batches.length} batches`);
    return {};
  }
  await tryTarget(out);
  const gpu = await openGpu({ device: context.device });
  const model = await Model.load(gpu, opened.checkpoint, { dtype: options.dtype, freeze: () => true });
  context.progress.start({ total: batches.reduce((sum, batch) => sum + batch.rows, 0), unit: "rows" });
  const done = (count: number) => context.progress.advance(count);
  using grams = await measureGramMatrices(model, batches, { signal, done });
  context.progress.done();
  const { bytes, matrices } = await write(model, grams, out);
  model.free();
  context.json({ rows, matrices, out, bytes });
  return { output: `${out === "-" ? "stdout" : out} (${humanBytes(bytes)})` };
}
