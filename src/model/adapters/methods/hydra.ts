/**
 * Hydra: a low-rank branch on a layer's input and one on its frozen output, which fold into one matrix.
 *
 *   y0 = W x + b     y = y0 + s_p B_p A_p x + s_s B_s A_s y0
 *
 * folded: M = I + s_s B_s A_s, W' = M W + s_p B_p A_p, b' = M b. Kim et al., 2023, https://arxiv.org/abs/2309.06922.
 * Factors begin as LoRA's. The branches have no biases.
 */
import type { FileModule } from "../../../checkpoint/adapter/format.ts";
import { UserError } from "../../../errors.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import type { TensorSpecs } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import { LAST_OF_MLP } from "../targets.ts";

const OPTIONS = {
  hydra_parallel: {
    type: "number.integer >= 0",
    default: 2,
    help: "rank of the branch on a layer's input",
    value: "R",
  },
  hydra_sequential: {
    type: "number.integer >= 0",
    default: 2,
    help: "rank of the branch on a layer's output",
    value: "R",
  },
  hydra_parallel_scale: { type: "number > 0", default: 1, help: "strength of the branch on the input", value: "S" },
  hydra_sequential_scale: { type: "number > 0", default: 1, help: "strength of the branch on the output", value: "S" },
} as const;

/** Factors A (r, width) and B (out, r) of one branch; none of rank 0. */
function branch(name: "parallel" | "sequential", rank: number, width: number, out: number): TensorSpecs {
  if (rank === 0) return {};
  return {
    [`hydra_${name}_A`]: { shape: [rank, width], begins: { uniform: 1 / Math.sqrt(width) } },
    [`hydra_${name}_B`]: { shape: [out, rank], begins: "zeros" },
  };
}

/** Adds s B (A rows) to a matrix of `columns` columns; `rows` is (width, columns), or left out for the identity. */
function addProduct(
  { tensor }: FileModule,
  name: "parallel" | "sequential",
  scale: number,
  values: Float32Array,
  columns: number,
  rows?: Float32Array,
): void {
  const a = tensor(`hydra_${name}_A`);
  const [rank = 0, width = 0] = a.shape;
  const b = tensor(`hydra_${name}_B`).values;
  const low = new Float64Array(rank * columns);
  for (let r = 0; r < rank; r++) {
    if (!rows) low.set(a.values.subarray(r * width, (r + 1) * width), r * columns);
    else
      for (let w = 0; w < width; w++) {
        const factor = a.values[r * width + w]!;
        for (let c = 0; c < columns; c++) low[r * columns + c]! += factor * rows[w * columns + c]!;
      }
  }
  const row = new Float64Array(columns);
  for (let first = 0; first < values.length; first += columns) {
    row.fill(0);
    const o = first / columns;
    for (let r = 0; r < rank; r++) {
      const factor = scale * b[o * rank + r]!;
      for (let c = 0; c < columns; c++) row[c]! += factor * low[r * columns + c]!;
    }
    for (let c = 0; c < columns; c++) values[first + c]! += row[c]!;
  }
}

export const method = adapterType({
  name: "hydra",
  title: "Hydra",
  about: "adds low-rank branches on what a layer reads and on what it gives",
  cite: "arXiv:2309.06922",
  options: OPTIONS,
  takes: ["linear"],
  fanInFanOut: true,
  usual: ({ module }) => LAST_OF_MLP.test(module),
  parts: ["hydra_parallel_A", "hydra_parallel_B", "hydra_sequential_A", "hydra_sequential_B"],
  tensors({ into, out }, { values: { hydra_parallel: parallel, hydra_sequential: sequential }, where }) {
    if (parallel === 0 && sequential === 0)
      throw new UserError(`${where}: both branches have rank 0`, "set --hydra-parallel or --hydra-sequential");
    return { ...branch("parallel", parallel, into, out), ...branch("sequential", sequential, out, out) };
  },
  linear(layer, x) {
    const { rec, tensor, values } = layer;
    const first = layer.product(x);
    const added = (y: Tensor, name: "parallel" | "sequential", scale: number, from: Tensor) =>
      linear(rec, linear(rec, from, tensor(`hydra_${name}_A`)), tensor(`hydra_${name}_B`), { scale, add: y });
    let y = first;
    if (values.hydra_parallel > 0) y = added(y, "parallel", values.hydra_parallel_scale, x);
    if (values.hydra_sequential > 0) y = added(y, "sequential", values.hydra_sequential_scale, first);
    return layer.finish(y);
  },
  fold(module, { values }) {
    const { into, transposed } = module;
    const { hydra_parallel, hydra_sequential, hydra_parallel_scale: s, hydra_sequential_scale: after } = values;
    const change = (rows: Float32Array) => {
      const before = rows.slice();
      if (hydra_parallel > 0) addProduct(module, "parallel", s, rows, into);
      if (hydra_sequential > 0) addProduct(module, "sequential", after, rows, into, before);
    };
    const weight = { change, transposed, together: true as const };
    if (hydra_sequential === 0) return { weight };
    return { weight, wholeBias: (bias) => addProduct(module, "sequential", after, bias, 1, bias.slice()) };
  },
});
