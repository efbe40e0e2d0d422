/**
 * Task arithmetic with stretched directions: the base plus a weighted sum of task vectors, of which some have each of
 * their singular directions lengthened by a random amount. What `--search cycleqd` writes its models as.
 *
 * Kuroki et al., Agent Skill Acquisition via CycleQD, ICLR 2025, https://arxiv.org/abs/2410.14735, section 3.3. With
 * tau_k = U S V^T, a mutation `MODEL:SEED:SIZE` adds U diag(u S) V^T, where every u_r is drawn evenly from 0 to SIZE,
 * by the seed, the tensor and the model alone. Mutations add up, so any mean of such models is one of them again.
 * Weights of blocks are matrices here, experts of a stack one by one; embeddings, heads, norms and biases are added as
 * they are. Directions whose singular value is below a millionth of the largest are left alone.
 */
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { spanGroups } from "../../../gpu/grid.ts";
import { matmul } from "../../../tensor/linear-algebra/matmul.ts";
import { sizeOf } from "../../../tensor/tensor.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import type { MergeJob } from "../../job/tensor-job.ts";
import { addTaskVectors } from "../../updates/add-task-vectors.ts";
import { type Directions, directionsOf, keptDirections } from "../../updates/directions.ts";
import { gatherTaskVectors, pitchOf } from "../../updates/gather.ts";
import { hasDirections } from "../../updates/spectral.ts";
import { WEIGHTED } from "../../updates/task-vectors.ts";

const options = {
  ...WEIGHTED,
  mutations: {
    type: "string",
    default: "",
    help: "stretches of directions, MODEL:SEED:SIZE,...; model 1 is the first",
  },
} as const;

type Job = MergeJob<MergeValues<typeof options>, readonly number[]>;

interface Mutation {
  /** Position of the model among those besides the base, from 0. */
  readonly model: number;
  readonly seed: number;
  readonly size: number;
}

/** Reads `MODEL:SEED:SIZE,...`. Throws UserError for what is no such list. */
function parseMutations(text: string): Mutation[] {
  return text === ""
    ? []
    : text.split(",").map((part) => {
        const numbers = part.split(":").map((field) => (field.trim() === "" ? Number.NaN : Number(field)));
        const [model, seed, size] = numbers;
        if (numbers.length !== 3 || !numbers.every(Number.isFinite) || !Number.isInteger(model) || model! < 1)
          throw new UserError(
            `mutations: ${JSON.stringify(part)} is no mutation`,
            "write the number of the model, a seed and a size: 1:7:0.1, several with commas between them",
          );
        return { model: model! - 1, seed: seed!, size: size! };
      });
}

/** How much longer each direction becomes, in parts of its singular value. */
function stretches(mutations: readonly Mutation[], count: number, ...key: readonly (string | number)[]): Float64Array {
  const total = new Float64Array(count);
  for (const { model, seed, size } of mutations) {
    const random = new Random(seed, "svd-scale", model, ...key);
    for (let r = 0; r < count; r++) total[r]! += size * random.uniform();
  }
  return total;
}

/** The directions of model k, one for each matrix of the tensor; undefined if it has a value that is not finite. */
async function directions(job: Job, k: number): Promise<readonly Directions[] | undefined> {
  const [rows, columns] = job.shape.slice(-2) as [number, number];
  const length = rows * columns;
  let finite = true;
  const make = async () => {
    const parts: Directions[] = [];
    for (let start = 0; start < job.size; start += length) {
      using held = await gatherTaskVectors(job, { start, length });
      const all = await job.gpu.readFloats(held.buffer, pitchOf(length) * job.count);
      const own = all.slice(k * pitchOf(length), k * pitchOf(length) + length);
      if (own.every(Number.isFinite)) parts.push(directionsOf(own, rows, columns));
      else finite = false;
    }
    return parts;
  };
  const variant = job.flags().join(" ");
  const parts = await keptDirections(job.task.models[k]!, job.task.base!, variant, make);
  return finite && parts.length === job.size / length ? parts : undefined;
}

/** Adds left^T diag(stretch s) right, times `weight`, to the matrix at `start` of `whole`. */
async function stretch(job: Job, parts: Directions, by: Float64Array, whole: GPUBuffer, start: number): Promise<void> {
  const { gpu } = job;
  const [rows, columns] = job.shape.slice(-2) as [number, number];
  const count = parts.s.length;
  if (count === 0) return;
  const scaled = parts.left.slice();
  for (let r = 0; r < count; r++) {
    const factor = by[r]! * parts.s[r]!;
    for (let i = 0; i < rows; i++) scaled[r * rows + i]! *= factor;
  }
  using left = gpu.upload(scaled, `${job.name} left directions`);
  using right = gpu.upload(parts.right, `${job.name} right directions`);
  await matmul(gpu, {
    form: "tn",
    a: { buffer: left.buffer, rows: count, columns: rows },
    b: { buffer: right.buffer, rows: count, columns },
    c: { buffer: whole, rows, columns, start },
    accumulate: true,
  });
}

/** The weighted sum of the task vectors into `whole`. */
async function addUp(job: Job, whole: GPUBuffer): Promise<void> {
  const { gpu } = job;
  const [rows, columns] = job.shape.slice(-2) as [number, number];
  const length = rows * columns;
  const pitch = pitchOf(length);
  const weights = job.constants(Float32Array.from(job.values.weight), "weights");
  const kernel = await gpu.kernel("merge/combine", { constants: { K: job.count } });
  for (let start = 0; start < job.size; start += length) {
    using held = await gatherTaskVectors(job, { start, length });
    using sum = gpu.buffer(4 * pitch, `${job.name} sum`);
    gpu.run(kernel, {
      bind: { stack: held.buffer, weights, result: sum.buffer },
      params: { n4: pitch / 4, pitch: pitch / 4, divisor: 1 },
      groups: spanGroups(pitch / 4),
    });
    gpu.copy(sum.buffer, 0, whole, 4 * start, 4 * length);
  }
}

/** Writes base + lambda update. One pass. */
async function addUpdate(job: Job, whole: GPUBuffer): Promise<void> {
  await job.emit(async (chunk, result, out) => {
    using part = job.gpu.buffer(16 * chunk.n4, `${job.name} update`);
    job.gpu.copy(whole, 4 * chunk.start, part.buffer, 0, 4 * chunk.length);
    await job.run("merge/add-update", { flags: [...job.flags(), ...out] }, chunk, {
      bind: { stack: chunk.stack, update: part.buffer, result },
      params: { n4: chunk.n4, lambda: job.values.lambda },
    });
  });
}

export const method = mergeMethod<typeof options, readonly number[]>({
  name: "svd_scale",
  title: "Stretched task vectors",
  about: "task arithmetic whose task vectors have their singular directions lengthened at random",
  cite: "arXiv:2410.14735",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  trials: [{}, { mutations: "1:3:0.2" }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "many",
  scratch: 4,
  options,

  /** On the device K task vectors and two factors of one matrix; on the host its decomposition in f64. */
  holds({ name, shape, count }) {
    if (!hasDirections({ name, shape, size: sizeOf(shape) })) return {};
    const [rows, columns] = shape.slice(-2) as [number, number];
    const side = Math.min(rows, columns);
    return {
      gpu: 4 * ((count + 1) * rows * columns + side * (rows + columns)),
      host: 8 * (3 * rows * columns + 3 * side ** 2 + side * (rows + columns)) + 4 * (count + 1) * rows * columns,
    };
  },

  /** Finds the models besides the base, and refuses mutations that cannot be made, before the first tensor. */
  async survey(tensors) {
    const models = [...new Set(tensors.flatMap(({ task }) => task.modelIndex))].sort((a, b) => a - b);
    for (const text of new Set(tensors.map(({ values }) => values.mutations))) {
      const missing = parseMutations(text).find(({ model }) => model >= models.length);
      if (missing)
        throw new UserError(
          `mutations: there is no model ${missing.model + 1}`,
          `the models are 1 to ${models.length}, in the order of the recipe, the base not counted`,
        );
    }
    return models;
  },

  /** One pass without mutations; else one for the sum, one for each model not yet decomposed, one for the output. */
  async merge(job) {
    const { weight, lambda, mutations } = job.values;
    const own = parseMutations(mutations).filter(({ size }) => size !== 0);
    const here = job.task.modelIndex.map((index) => job.survey.indexOf(index)); // some models may lack the tensor
    const among = own.filter(({ model }) => here.includes(model));
    const plain = () =>
      addTaskVectors(
        job,
        weight.map((w) => ({ plain: lambda * w })),
      );
    if (among.length === 0 || lambda === 0 || !hasDirections(job)) return plain();
    const [rows, columns] = job.shape.slice(-2) as [number, number];
    const whole = job.hold(4 * job.size, "update");
    await addUp(job, whole);
    for (const [k, model] of here.entries()) {
      const mine = among.filter((mutation) => mutation.model === model);
      if (mine.length === 0) continue;
      const parts = await directions(job, k);
      if (!parts) return plain(); // what is not finite has no directions, and shows in the sum
      for (const [index, part] of parts.entries()) {
        const by = stretches(mine, part.s.length, job.streamName, index);
        await stretch(job, part, by, whole, index * rows * columns);
      }
    }
    await addUpdate(job, whole);
  },
});
