/**
 * PCB-Merging: weighs every value of every task vector by its own size and by its agreement with the other models,
 * drops all but the best few per cent, and averages what is left with those weights.
 *
 * Du et al., NeurIPS 2024, https://arxiv.org/abs/2410.02396. Steps: clip magnitudes to the `clip` quantiles; intra =
 * exp(K n^2) with n the magnitude within its row, 0 to 1; inter = sum_j tanh(s_k s_j) of signed n (`pairwise`, the
 * authors' vision script) or tanh(d_k sum_j d_j) (`sum`, their main script); score = intra * inter; of each row the
 * top `ratio` of scores counts, normalised to (0, 1]. Row = one model's task vector over all tensors, or with `scope:
 * tensor` over one, which needs no pass over the whole model first but changes the result. K is the number of models
 * that have the tensor.
 *
 * With --tune-data `lambda` is learnt. The authors search the box [0.8, 1.3] with an evolution strategy and some
 * hundred evaluations; the result is linear in lambda, so its gradient is known, and descent within that box takes its
 * place.
 */
import { UserError } from "../../../errors.ts";
import { paddedBytes } from "../../../tensor/load.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { digitCounter, magnitudeDigits, orderStatistics, rowSizes } from "../../selection/order-statistics.ts";
import type { Prepare } from "../../tuning/contract.ts";
import { plain } from "../../tuning/free-numbers.ts";

const options = {
  ratio: { type: "0 < number <= 1", default: 0.1, help: "share of each task vector that is kept" },
  lambda: { type: "number", per: "model", default: 1, help: "scale of each task vector" },
  inter: { type: "'pairwise' | 'sum'", default: "pairwise", help: "how agreement between models is measured" },
  clip: { type: "0 <= number < 0.5", default: 1e-4, help: "share of magnitudes clipped at either end" },
  scope: { type: "'global' | 'tensor'", default: "global", help: "rank values over the whole model or per tensor" },
  loss: {
    type: "'entropy' | 'ce' | 'kd' | 'infonce'",
    default: "ce",
    help: "with --tune-data: what lambda lowers; see adamerging",
  },
} as const;

/** Where the authors search. */
const BOX = [0.8, 1.3] as const;

type Inputs = TensorInputs<MergeValues<typeof options>>;

/** What is known of one model's row; the fields of `Row` in wgsl/lib/competition.wgsl but lambda. */
interface Row {
  readonly low: number;
  readonly high: number;
  readonly cut: number;
  readonly largest: number;
}

type Rows = ReadonlyMap<number, Row>;

/** Ascending positions of the clip bounds among `size` sorted magnitudes. */
export function clipRanks(size: number, clip: number): [number, number] {
  const low = Math.min(Math.floor(size * clip), size - 1);
  return [low, Math.max(low, Math.floor(size * (1 - clip)) - 1)];
}

/** The rows of a tensor's models on the device. */
function pack(inputs: Inputs, rows: Rows, lambda: readonly number[] = inputs.values.lambda): GPUBuffer {
  const inverse = (span: number) => (span > 0 ? 1 / span : 0);
  const data = inputs.task.modelIndex.flatMap((index, k) => {
    const { low, high, cut, largest } = rows.get(index)!;
    return [low, high, inverse(high - low), lambda[k]!, cut, inverse(largest - cut)];
  });
  return inputs.constants(new Float32Array(data), "rows");
}

const variant = (inputs: Inputs): string[] => [
  ...inputs.flags(),
  ...(inputs.values.inter === "pairwise" ? ["pairwise"] : []),
];

/** Clip bounds and score cuts over these tensors. Six passes: three over magnitudes, three over scores. */
async function measure(tensors: readonly Inputs[]): Promise<Rows> {
  const { clip, ratio } = tensors[0]!.values;
  const sizes = [...rowSizes(tensors)];
  const bounds = await orderStatistics(
    sizes.flatMap(([row, size]) => clipRanks(size, clip).map((rank) => ({ row, rank }))),
    magnitudeDigits(tensors),
  );
  const clipped = new Map<number, Row>(
    sizes.map(([row], i) => [row, { low: bounds[2 * i]!, high: bounds[2 * i + 1]!, cut: 0, largest: 0 }]),
  );
  const scores = digitCounter(tensors, async (inputs) => {
    const rows = pack(inputs, clipped);
    return {
      kernel: await inputs.gpu.kernel("merge/pcb-histogram", { flags: variant(inputs) }),
      dispatch: (chunk, model, { mask, prefix, shift }, counts) => ({
        bind: { stack: chunk.stack, rows, counts },
        params: { n: chunk.length, pitch: chunk.pitch, k: inputs.count, model, mask, prefix, shift },
        groups: inputs.spans(chunk),
      }),
    };
  });
  const cuts = await orderStatistics(
    sizes.flatMap(([row, size]) => [
      { row, rank: Math.min(Math.floor(size * (1 - ratio)), size - 1) },
      { row, rank: size - 1 },
    ]),
    scores,
  );
  return new Map(
    [...clipped].map(([row, found], i) => [row, { ...found, cut: cuts[2 * i]!, largest: cuts[2 * i + 1]! }]),
  );
}

/** The tensors whose scope is global, measured together. */
async function survey(tensors: readonly Inputs[]): Promise<Rows | undefined> {
  const global = tensors.filter(({ values }) => values.scope === "global");
  const [first] = global;
  if (!first) return undefined;
  for (const { name, values } of global) {
    for (const key of ["ratio", "inter", "clip"] as const) {
      if (values[key] === first.values[key]) continue;
      throw new UserError(
        `${name} has ${key} ${values[key]} but ${first.name} has ${first.values[key]}`,
        `values are ranked over the whole model; give one ${key}, or --scope tensor`,
      );
    }
  }
  return measure(global);
}

/** What a lambda of 1 adds of each model, as inputs: base + Tc_k S_k / sum_j S_j, in f32. */
async function contributions(tensors: readonly Inputs[]) {
  const global = await survey(tensors);
  return async (inputs: Inputs): Promise<Prepare> => {
    const found = inputs.values.scope === "tensor" ? await measure([inputs]) : global!;
    const slots = Array.from({ length: inputs.slots }, (_, slot) => slot);
    // Slot 0 has every lambda 0: the base.
    const rows = slots.map((slot) =>
      pack(
        inputs,
        found,
        slots.slice(1).map((k) => (k === slot ? 1 : 0)),
      ),
    );
    const kernel = await inputs.gpu.kernel("merge/pcb", { flags: variant(inputs) });
    return async ({ stack, n4, pitch, length }) => {
      const bytes = paddedBytes(length, "F32");
      const held = inputs.gpu.buffer(inputs.slots * bytes, `${inputs.name} contributions`);
      for (const [slot, own] of rows.entries())
        inputs.gpu.run(kernel, {
          bind: { stack, rows: own, result: { buffer: held.buffer, offset: slot * bytes, size: bytes } },
          params: { n4, pitch, k: inputs.count },
          groups: inputs.spans({ n4 }),
        });
      return { stack: held.buffer, dtype: "F32", pitch: bytes / 16, free: () => held.free() };
    };
  };
}

export const method = mergeMethod({
  name: "pcb",
  title: "PCB-Merging",
  about: "weigh values by size and agreement, keep the best few per cent",
  cite: "arXiv:2410.02396",
  laws: {
    equalInputs: true,
    equalModels: "keeps the best tenth of the change",
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "many",
  options,
  survey,

  tune: {
    sets: "lambda",
    required: false,
    steps: 100,
    rate: 1e-2,
    descent: "adam",
    over: "mean",
    granularity: () => "task",
    loss: ({ loss }) => loss,
    free: (given) => plain(given, BOX),
    preparedDtype: "F32",
    prepare: contributions,
  },

  /** One pass after the survey; with `scope: tensor` seven. No memory besides the inputs. */
  async merge(job) {
    const found = job.values.scope === "tensor" ? await measure([job]) : job.survey!;
    const rows = pack(job, found);
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/pcb", { flags: [...variant(job), ...out] }, chunk, {
        bind: { stack: chunk.stack, rows, result },
        params: { n4: chunk.n4, pitch: chunk.pitch, k: job.count },
      });
    });
  },
});
