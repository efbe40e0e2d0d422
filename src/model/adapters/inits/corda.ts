/**
 * CorDA: the weight is taken apart by what its layer reads in the data.
 *
 *   C = mean x x^T,  W C = U S V',  W = U S V' C^-1,  of r components:  B0 = U sqrt(S / s),  A0 = sqrt(S / s) V' C^-1
 *
 * The adapter begins with the largest components (`ipm`, for the task that the rows are of) or with the smallest
 * (`kpm`: the frozen rest keeps what the rows need). Yang et al., NeurIPS 2024, https://arxiv.org/abs/2406.05223.
 *
 * V' C^-1 = S^-1 U' W, so that C is never inverted. C has a mean diagonal of 1 here, and 0.01 is added to it, as PEFT
 * adds a hundredth: directions that no row shows keep those of W. Memory in `kpm`: W and its Gram matrix in f64.
 */
import {
  type HostMatrix,
  hostMatrix,
  hostProduct,
  leadingSvd,
  transposed,
} from "../../../tensor/linear-algebra/leading-svd.ts";
import { type FloatMatrix, OnGpu, truncatedSvd } from "../../../tensor/linear-algebra/truncated-svd.ts";
import { measuredInit } from "../adapter-init.ts";

const DAMPING = 0.01;

/** Multiplications up to which W C is made on the host. */
const ON_HOST = 3e7;

/** C with a mean diagonal of 1, damped; what no row reads counts alike in every direction. */
export function damped({ rows, values }: FloatMatrix): HostMatrix {
  let trace = 0;
  for (let i = 0; i < rows; i++) trace += values[i * rows + i]!;
  const mean = trace > 0 ? trace / rows : 1;
  const c = hostMatrix(rows, rows);
  for (const [i, x] of values.entries()) c.values[i] = x / mean;
  for (let i = 0; i < rows; i++) c.values[i * rows + i]! += DAMPING;
  return c;
}

const asHost = ({ rows, columns, values }: FloatMatrix) => hostMatrix(rows, columns, Float64Array.from(values));

export const method = measuredInit({
  name: "corda",
  title: "CorDA",
  about: "components of the weight by what the layer reads in the data; the rest of it stays frozen",
  cite: "arXiv:2406.05223",
  options: {
    corda_mode: {
      type: "'ipm' | 'kpm'",
      default: "ipm",
      help: "train the largest components (the data are the new task) or the smallest (the data are to be kept)",
    },
    corda_rows: { type: "number.integer >= 1", default: 256, help: "rows of the training data that are measured" },
  },
  needs: "covariance",

  asks: (_, { corda_rows }) => ({ rows: corda_rows }),

  async begin({ weight, measured, rank, scale, gpu, values: { corda_mode } }) {
    const w = asHost(weight);
    const c = damped(measured);
    const onHost = w.rows * w.columns * w.columns <= ON_HOST;
    using held = onHost ? undefined : new OnGpu(gpu, c);
    const product = held ? await held.times(w) : hostProduct(w, c);
    const all = corda_mode === "kpm";
    const { s, left } = all ? leadingSvd(product) : await truncatedSvd(product, rank, async () => gpu);
    const first = all ? Math.max(0, s.length - rank) : 0;
    const sizes = s.subarray(first);
    const u = hostMatrix(sizes.length, w.rows, left.values.slice(first * w.rows)); // a direction in each row
    const root = (by: (size: number) => number, { rows, columns, values }: HostMatrix) =>
      hostMatrix(
        rows,
        columns,
        values.map((x, i) => x * by(sizes[Math.floor(i / columns)]!)),
      );
    return {
      a: root((size) => 1 / Math.sqrt(size * scale), hostProduct(u, w)),
      b: transposed(root((size) => Math.sqrt(size / scale), u)),
    };
  },
});
