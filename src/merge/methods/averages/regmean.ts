/**
 * RegMean: the matrix whose outputs are nearest to those of every model on that model's own inputs.
 *
 * Jin et al., ICLR 2023, https://arxiv.org/abs/2212.09849. `stats` holds, per model, Gram matrices of what its linear
 * layers read, as `evaluate gram` writes them; off-diagonal entries are multiplied by `reduce`. Weights without a Gram
 * matrix (norms, biases, embeddings, the head of a language model) are averaged. A Gram matrix is a mean over all
 * tokens of a model, so an expert counts as much as it is used. The arithmetic is in updates/gram-solve.ts.
 */
import type { TensorEntry } from "../../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../checkpoint/decode.ts";
import { UserError } from "../../../errors.ts";
import { isInside } from "../../../model/names.ts";
import { gramName } from "../../../run/gram/names.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import { type ExtraCheckpoints, openExtraCheckpoints } from "../../job/extra-checkpoints.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import type { MergeJob } from "../../job/tensor-job.ts";
import { addUpdate } from "../../updates/add-update.ts";
import { gatherTaskVectors, pitchOf } from "../../updates/gather.ts";
import { gramSolution } from "../../updates/gram-solve.ts";

const options = {
  stats: {
    type: "string",
    per: "model",
    required: true,
    value: "GRAM.safetensors",
    names: "own-checkpoint",
    help: "Gram matrices of the model's linear layers, from evaluate gram",
  },
  weight: { type: "number >= 0", per: "model", default: 1, help: "share of each model beside its Gram matrices" },
  reduce: { type: "0 <= number <= 1", default: 0.9, help: "what off-diagonal entries are multiplied by" },
} as const;

type Inputs = TensorInputs<MergeValues<typeof options>>;

interface Survey extends Disposable {
  readonly checkpoints: ExtraCheckpoints;
}

/** Gram matrices of every model for a tensor, and the axis that they belong to. */
interface Found {
  readonly entries: readonly TensorEntry[];
  readonly inFirst: boolean;
}

/** Undefined when a model has none. Throws UserError where they are of another shape. */
function gramsOf(inputs: Inputs, checkpoints: ExtraCheckpoints): Found | undefined {
  const { shape, values } = inputs;
  if (shape.length < 2 || shape.length > 3 || inputs.size === 0) return undefined;
  for (const inFirst of [false, true]) {
    const side = shape.at(inFirst ? -2 : -1)!;
    const as = { named: (name: string) => gramName(name, inFirst), shape: [...shape.slice(0, -2), side, side] };
    const entries = values.stats.flatMap((ref, k) => checkpoints.find(inputs, k, ref, as) ?? []);
    if (entries.length === values.stats.length) return { entries, inFirst };
  }
  return undefined;
}

async function survey(tensors: readonly Inputs[]): Promise<Survey> {
  const refs = tensors.flatMap(({ values }) => values.stats);
  const checkpoints = await openExtraCheckpoints(refs, "Gram matrices");
  try {
    const matched = tensors.filter((inputs) => gramsOf(inputs, checkpoints) !== undefined).length;
    const matrices = tensors.filter(({ name, shape, size }) => size > 0 && shape.length > 1 && isInside(name));
    if (matched === 0 && matrices.length > 0)
      throw new UserError(
        `No tensor has Gram matrices in all of ${[...new Set(refs)].join(", ")}`,
        "write those of each model with bun run evaluate gram MODEL --data FILE -o FILE.safetensors",
      );
    for (const { ref, name } of checkpoints.unused())
      tensors[0]?.settings.remark?.(`${ref} has a Gram matrix of what is not merged`, name);
    return { checkpoints, [Symbol.dispose]: () => checkpoints[Symbol.dispose]() };
  } catch (error) {
    checkpoints[Symbol.dispose]();
    throw error;
  }
}

/** The change from the first model, matrix by matrix. */
async function updateOf(job: MergeJob<Inputs["values"], Survey>, { entries, inFirst }: Found): Promise<Float32Array> {
  const { gpu, values } = job;
  const [rows, columns] = job.shape.slice(-2) as [number, number];
  const side = inFirst ? rows : columns;
  const whole = new Float32Array(job.size);
  for (let start = 0; start < job.size; start += rows * columns) {
    const length = rows * columns;
    const read = async (k: number): Promise<Float32Array> => {
      const { dtype, bytes, read: load } = entries[k]!;
      const matrix = new Uint8Array((bytes * length) / job.size);
      await load(matrix, (bytes * start) / job.size);
      return decodeFloats(matrix, dtype);
    };
    using held = await gatherTaskVectors(job, { start, length });
    const found = await gramSolution(
      gpu,
      { buffer: held.buffer, pitch: pitchOf(length), rows, columns, inFirst },
      { side, count: job.count, reduce: values.reduce, weights: values.weight, read },
    );
    if (!found)
      throw new UserError(
        `the Gram matrices of ${job.name} have no inverse at reduce ${values.reduce}`,
        "give a smaller --reduce, or measure more rows",
      );
    whole.set(found, start);
  }
  return whole;
}

export const method = mergeMethod({
  name: "regmean",
  title: "RegMean",
  about: "the matrices whose outputs are nearest to all models' on their own inputs, by Gram matrices",
  cite: "arXiv:2212.09849",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "knows no base",
    homogeneous: true,
  },
  trials: [{}, { reduce: 0 }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "none",
  heights: "equal",
  passes: "many",
  options,
  survey,
  precheck: async (tensors) => (await survey(tensors))[Symbol.dispose](),

  /** Sums, factor and inverse of one Gram matrix in f64, and differences and squares of one matrix on the device. */
  holds({ name, shape, count }) {
    if (shape.length < 2 || shape.length > 3 || !isInside(name)) return {};
    const [rows, columns] = shape.slice(-2) as [number, number];
    const square = Math.max(rows, columns) ** 2;
    const size = shape.reduce((product, side) => product * side, 1);
    return {
      gpu: 4 * ((count + 3) * rows * columns + 3 * square),
      host: 4 * size + (4 * 8 + 2 * 4) * square + 24 * rows * columns,
    };
  },

  /** Two passes. */
  async merge(job) {
    const total = job.values.weight.reduce((a, b) => a + b, 0);
    if (total === 0) throw new UserError(`${job.name}: the weights sum to 0`, "give other weights");
    const found = gramsOf(job, job.survey.checkpoints);
    if (!found) {
      const matrix = job.shape.length > 1 && isInside(job.name);
      if (matrix) job.settings.remark?.("averaged plainly, since not every model has a Gram matrix of it", job.name);
      return job.combine(job.values.weight, { divisor: total });
    }
    await addUpdate(job, await updateOf(job, found), 1);
  },
});
