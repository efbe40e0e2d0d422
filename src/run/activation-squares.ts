/**
 * What linear layers read: the sum over tokens of the square of every input column, by module, and how many tokens
 * there were; of a stack of experts one such row for each expert, of the tokens that it was given. Padding does not
 * count. An importance matrix is made of them. Sums are in f32 over a batch and in f64 over batches, in a fixed order.
 */
import type { TokenBatch } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Model } from "../model/model.ts";
import { mul, square } from "../tensor/ops/elementwise.ts";
import { dispatch, expertSums } from "../tensor/ops/moe.ts";
import { columnSums } from "../tensor/ops/reduce.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fillInputs, recordInputs } from "./batch-programs.ts";
import { Programs } from "./programs.ts";

export interface ActivationSquares {
  readonly columns: number;
  /** (parts, columns); one part, or one for each expert of a stack. */
  readonly sums: Float64Array;
  /** Tokens of each part. */
  readonly counts: Float64Array;
}

/** A module in a program: its columns and parts. Its outputs are `sums MODULE` and, of experts, `counts MODULE`. */
interface Observed {
  readonly columns: number;
  readonly parts: number;
  readonly isStack: boolean;
}

/** Records a batch's forward pass with the sums of every layer's inputs. */
function record(rec: Recorder, model: Model, batch: TokenBatch): Map<string, Observed> {
  const found = new Map<string, Observed>();
  const mask = rec.input("mask", [batch.rows * batch.length, 1]); // 1, or 0 for padding
  const { hidden } = model.record(rec, recordInputs(rec, batch), {
    observe(module, x, plan) {
      if (found.has(module)) throw new Error(`${module} is used twice, and its inputs would be mixed up`);
      const columns = x.shape.at(-1)!;
      const squares = square(rec, x); // (N, in)
      if (plan) {
        const rows = dispatch(rec, mask, plan); // (N * k, 1)
        rec.output(`sums ${module}`, expertSums(rec, rows, squares, plan));
        rec.output(`counts ${module}`, expertSums(rec, rows, rows, plan));
      } else {
        const sums: Tensor = rec.scratch([columns], `squares of ${module}`);
        columnSums(rec, mul(rec, squares, mask), { into: sums, accumulate: 0 });
        rec.output(`sums ${module}`, sums);
      }
      found.set(module, { columns, parts: plan?.experts ?? 1, isStack: plan !== undefined });
    },
  });
  rec.output("hidden", hidden);
  return found;
}

/** 1 for each token, 0 for padding. */
function maskOf({ rows, length, lengths }: TokenBatch): Float32Array {
  const mask = new Float32Array(rows * length);
  for (const [row, tokens] of lengths.entries()) mask.fill(1, row * length, row * length + tokens);
  return mask;
}

/**
 * Measures on batches; `done` is called after each. Throws UserError where an activation is not finite. Memory: an
 * activation of the largest layer beside those of the model.
 */
export async function measureActivationSquares(
  model: Model,
  batches: readonly TokenBatch[],
  { signal, done }: { readonly signal: AbortSignal; readonly done?: () => void },
): Promise<Map<string, ActivationSquares>> {
  const programs = new Programs<Map<string, Observed>>(model.gpu);
  const found = new Map<string, ActivationSquares>();
  let rows = 0;
  for (const batch of batches) {
    signal.throwIfAborted();
    const key = `${batch.rows}x${batch.length}${batch.packed ? " packed" : ""}`;
    const { program, recorded } = await programs.get(key, (rec) => record(rec, model, batch));
    fillInputs(program, batch);
    program.write("mask", maskOf(batch));
    program.run();
    const tokens = batch.lengths.reduce((sum, length) => sum + length, 0);
    for (const [module, { columns, parts, isStack }] of recorded) {
      const held = found.get(module) ?? {
        columns,
        sums: new Float64Array(parts * columns),
        counts: new Float64Array(parts),
      };
      found.set(module, held);
      const sums = await program.read(`sums ${module}`);
      const counts = isStack ? await program.read(`counts ${module}`) : [tokens];
      for (const [i, sum] of sums.entries()) held.sums[i]! += sum;
      for (const [i, count] of counts.entries()) held.counts[i]! += count;
      if (sums.some((sum) => !Number.isFinite(sum)))
        throw new UserError(
          `what ${module} reads on rows ${rows + 1} to ${rows + batch.rows} is not finite`,
          "the model's own weights are not finite, or these rows are not for it",
          1,
        );
    }
    rows += batch.rows;
    done?.();
  }
  programs.free();
  return found;
}
