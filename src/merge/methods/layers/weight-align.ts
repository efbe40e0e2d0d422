/**
 * Weight Aligning: scales the rows of a head that belong to new classes, so that their mean length is that of the old ones.
 *
 * Zhao et al., "Maintaining Discrimination and Fairness in Class Incremental Learning", CVPR 2020,
 * https://arxiv.org/abs/1911.07053. A head trained on new classes with few examples of the old ones has longer rows for the
 * new, which wins them ties. Also for rows of `lm_head` that a larger vocabulary added. Biases and all other tensors are
 * copied.
 */
import { UserError } from "../../../errors.ts";
import { mergeMethod } from "../../contract.ts";
import type { MergeJob } from "../../job/tensor-job.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";

/** mean length of the first `old` rows / mean length of the rest, from squared lengths. */
export function alignFactor(squares: ArrayLike<number>, old: number): number {
  let [before, after] = [0, 0];
  for (let row = 0; row < squares.length; row++) {
    if (row < old) before += Math.sqrt(squares[row]!);
    else after += Math.sqrt(squares[row]!);
  }
  return before / old / (after / (squares.length - old));
}

/** Squared length of every row. One pass. */
async function rowSquares<V>(job: MergeJob<V>): Promise<Float64Array> {
  if (!job.wholeRows) throw new RangeError(`${job.name}: rows of ${job.columns} values exceed this adapter's bindings`);
  const squares = new Float64Array(job.rows);
  const kernel = await job.gpu.kernel("merge/dots-along", { flags: job.flags() });
  const reads: Promise<void>[] = [];
  await job.each((chunk) => {
    const vectors = chunk.length / job.columns;
    const dots = job.gpu.buffer(4 * vectors, `${job.name} squares`);
    job.gpu.run(kernel, {
      bind: { stack: chunk.stack, dots: dots.buffer },
      params: {
        vectors,
        length: job.columns,
        vector_step: job.columns,
        value_step: 1,
        pitch: chunk.pitch,
        a: job.first,
        b: job.first,
      },
      groups: [Math.min(vectors, 1024), Math.ceil(vectors / 1024)],
    });
    const read = job.gpu.readFloats(dots.buffer, vectors).finally(() => dots.free());
    reads.push(read.then((values) => squares.set(values, chunk.start / job.columns)));
  });
  await Promise.all(reads);
  return squares;
}

export const method = mergeMethod({
  name: "weight_align",
  title: "Weight Aligning",
  about: "give the rows of new classes in a head the mean length of the old ones",
  cite: "arXiv:1911.07053",
  models: [1, 1],
  base: "none",
  heights: "equal",
  passes: "many",
  options: {
    old: { type: "number.integer >= 1", required: true, help: "number of old classes: the first rows of the head" },
    head: { type: "string", default: "lm_head.weight", value: "NAME", help: "the head's tensor, one row per class" },
  },

  /** Finds out in time that no tensor has the name of the head. */
  async survey(jobs) {
    if (jobs.some(({ name, values }) => name === values.head)) return;
    const heads = jobs.map(({ name }) => name).filter((name) => /head|classifier|score|embed/.test(name));
    throw new UserError(
      `The model has no tensor ${jobs[0]?.values.head}`,
      heads.length > 0 ? `name its head with --head: ${heads.join(", ")}` : "name its head with --head",
    );
  },

  /** Two passes over the head; the rest is copied. */
  async merge(job) {
    const { old, head } = job.values;
    if (job.name !== head) return takeInput(job, 0);
    if (job.shape.length !== 2 || job.rows <= old) {
      const found = job.shape.length === 2 ? `${job.rows} rows` : `shape (${job.shape.join(", ")})`;
      throw new UserError(
        `${job.name} has ${found}; expected more rows than the ${old} old classes`,
        "--old is the number of classes before the last ones were added",
      );
    }
    const factor = alignFactor(await rowSquares(job), old);
    if (!Number.isFinite(factor)) {
      throw new UserError(`${job.name}: the rows from ${old} on are all zero`, "train them before aligning");
    }
    const table = Float32Array.from({ length: job.rows }, (_, row) => (row < old ? 1 : factor));
    const held = job.constants(table, "factors");
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/combine-along", { flags: [...job.flags(), "rows", ...out] }, chunk, {
        bind: { stack: chunk.stack, weights: held, result },
        params: { n: chunk.length, pitch: chunk.pitch, k: 1, first: 0, start: chunk.start, columns: job.columns },
      });
    });
  },
});
