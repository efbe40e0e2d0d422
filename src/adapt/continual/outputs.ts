/** What the model says of rows, row by row, for methods that act after a task. */
import { batchKey, isTokens } from "../../data/batch.ts";
import { countedByRow, targetsOf } from "../../data/targets.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import type { Stream } from "./contract.ts";
import type { RowRef } from "./rows.ts";

/**
 * features: what the head reads, (C), of tokens their mean over the row. losses: the mean loss of the row, (1). logits:
 * (T, V) of all positions of the row, (1, V) of an example.
 */
export type Asked = "features" | "losses" | "logits";

type Asking = Pick<Stream<unknown>, "model" | "rows" | "batchSize" | "dry" | "signal">;

/** Width of what is asked of one position. */
const widthOf = ({ model }: Asking, what: Asked): number =>
  what === "features" ? model.sizes.width : what === "logits" ? model.sizes.outputs : 1;

/** One value for each of the rows, in their order; zeros on a device that computes nothing. */
export async function askRows(stream: Asking, refs: readonly RowRef[], what: Asked): Promise<Float32Array[]> {
  const { model, rows, batchSize, dry, signal } = stream;
  const sizeOf = (ref: RowRef) => widthOf(stream, what) * (what === "logits" ? rows.lengthOf(ref) : 1);
  if (dry) return refs.map((ref) => new Float32Array(sizeOf(ref)));
  const programs = new Programs(model.gpu);
  const found: Float32Array[] = [];
  try {
    for (let at = 0; at < refs.length; at += batchSize) {
      signal.throwIfAborted();
      const own = refs.slice(at, at + batchSize);
      const { batch } = rows.plain(own);
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const { hidden, head } = model.record(rec, recordInputs(rec, batch));
        const targets = recordTargets(rec, batch);
        const outputs = model.sizes.outputs;
        if (what === "losses") rec.output(what, headLoss(rec, { hidden, head, width: outputs, targets }));
        else rec.output(what, what === "logits" ? head(hidden) : hidden);
      });
      fillInputs(program, batch);
      if (program.takes("targets")) fillTargets(program, batch);
      program.run();
      const values = await program.read(what);
      const each = values.length / batch.rows;
      const counted = countedByRow(targetsOf(batch), batch.rows);
      for (const [i, ref] of own.entries()) {
        const all = values.subarray(i * each, (i + 1) * each);
        const tokens = isTokens(batch) ? rows.lengthOf(ref) : 1;
        const width = each / batch.length;
        if (what === "logits") found.push(all.slice(0, tokens * width));
        else if (what === "losses") found.push(Float32Array.of(sum(all) / Math.max(1, counted[i]!)));
        else found.push(meanRow(all, tokens, width));
      }
    }
  } finally {
    programs.free();
  }
  return found;
}

const sum = (values: Float32Array): number => values.reduce((a, b) => a + b, 0);

/** The mean of the first `count` rows of width C. */
function meanRow(values: Float32Array, count: number, width: number): Float32Array {
  const mean = new Float64Array(width);
  for (let i = 0; i < count * width; i++) mean[i % width]! += values[i]! / count;
  return Float32Array.from(mean);
}
