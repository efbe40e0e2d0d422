/**
 * Activation-aware weight quantisation: inputs of large magnitude are divided where they are made, so that the columns
 * that read them are larger and round more finely. Lin et al., MLSys 2024, https://arxiv.org/abs/2306.00978
 *
 *   c_j = max(mean |x_j|^r, 1e-4) / sqrt(max c min c),  r of 0, 1/20, ..., 19/20 with the least error
 *
 * The error is that of the layers that read the inputs, tr(D H D^T) summed over them, and not of the block's output.
 * Where inputs cannot be scaled (what gives them is no norm and no layer of its own) nothing is. Then the range of each
 * group is clipped at the share of its largest weight, 1 - i/20, i of 0..9, with the least error of the group's own
 * inputs, but in layers of queries and keys.
 */
import { UserError } from "../../../errors.ts";
import type { Gpu } from "../../../gpu/gpu.ts";
import { foldGroups, LANES } from "../../../gpu/grid.ts";
import { planProduct } from "../../../tensor/linear-algebra/products.ts";
import { profileOf } from "../../../tensor/program.ts";
import { Energies, roundedDifference, scaleSides } from "../../input-scales.ts";
import type { MeasuredLayer } from "../../layer.ts";
import { GroupGrids } from "../../nearest-codes.ts";
import { defineInputQuantizer, type InputGroup, type Scheme } from "../../quantizer.ts";

const SMALLEST = 1e-4;
/** Steps of the share at which the range of a group is clipped. */
const CLIPS = 10;
/** Layers whose outputs are multiplied with each other, and which clipping hurts. */
const QUERY_OR_KEY = /(?:^|[._])(?:q|k|query|key|qkv|query_key_value|c_attn|Wqkv)(?:_|\.|$)/;

/** Factors of inputs of these magnitudes; around 1. */
function factorsOf(magnitudes: Float32Array, ratio: number): Float32Array {
  const raised = magnitudes.map((x) => Math.max(x ** ratio, SMALLEST));
  const [low, high] = raised.reduce<readonly [number, number]>(
    ([low, high], x) => [Math.min(low, x), Math.max(high, x)],
    [Number.POSITIVE_INFINITY, 0],
  );
  const middle = Math.sqrt(low * high);
  return raised.map((x) => x / middle);
}

/** The error of all layers of a group under each choice of factors. */
async function errorsUnder({ gpu, layers }: InputGroup, choices: readonly Float32Array[]): Promise<number[]> {
  const largest = Math.max(...layers.map(({ layer: { rows, columns } }) => rows * columns));
  using energies = new Energies(gpu, choices.length * layers.length, largest);
  using scaled = gpu.buffer(4 * largest, "scaled weights");
  using difference = gpu.buffer(4 * largest, "what rounding changes");
  for (const choice of choices) {
    using factors = gpu.upload(choice, "factors of inputs");
    for (const { layer, scheme } of layers) {
      layer.signal.throwIfAborted();
      const { rows, columns } = layer;
      using grids = new GroupGrids(layer, scheme);
      await scaleSides(gpu, layer.weight.buffer, scaled.buffer, { rows, columns, right: factors });
      await grids.fit({ weight: scaled });
      await roundedDifference(gpu, grids, { weight: scaled, factors, into: difference });
      await energies.add(difference, rows, layer.inputs.gram);
    }
  }
  const errors = await energies.read();
  return choices.map((_, i) => layers.reduce((sum, _, k) => sum + errors[i * layers.length + k]!, 0));
}

/** Records D_g H_gg for every group g of columns: (rows, columns) into `moved`. */
async function moveGroups(
  gpu: Gpu,
  layer: MeasuredLayer,
  group: number,
  d: GPUBuffer,
  moved: GPUBuffer,
): Promise<void> {
  const { rows, columns, inputs } = layer;
  const whole = Math.floor(columns / group);
  const run = async (first: number, size: number, batch: number) => {
    const starts = { startA: first, startB: first * (columns + 1), startC: first };
    const pitches = { lda: columns, ldb: columns, ldc: columns };
    const strides = { strideA: size, strideB: size * (columns + 1), strideC: size };
    const sizes = { form: "nn" as const, m: rows, n: size, k: size, batch };
    const step = planProduct({ ...sizes, ...starts, ...pitches, ...strides }, profileOf(gpu));
    const { kernel, params, groups, ...variant } = step;
    gpu.run(await gpu.kernel(kernel, variant), { bind: { a: d, b: inputs.gram.buffer, c: moved }, params, groups });
  };
  if (whole > 0) await run(0, group, whole);
  if (whole * group < columns) await run(whole * group, columns - whole * group, 1);
}

/** Fits the range of each group, clipped where that costs its own inputs the least. */
async function fitClipped(layer: MeasuredLayer, scheme: Scheme, grids: GroupGrids): Promise<void> {
  const { gpu, rows, columns, weight } = layer;
  const { group, groups } = grids;
  using tried = new GroupGrids(layer, scheme);
  using least = gpu.buffer(4 * rows * groups, "least errors");
  using difference = gpu.buffer(4 * rows * columns, "what rounding changes");
  using moved = gpu.buffer(4 * rows * columns, "difference by H");
  using factors = gpu.upload(new Float32Array(columns).fill(1), "factors of inputs");
  const kernel = await gpu.kernel("compress/keep-least");
  for (let i = 0; i < CLIPS; i++) {
    await tried.fit(layer, { shrink: 1 - i / 20 });
    await roundedDifference(gpu, tried, { weight, factors, into: difference });
    await moveGroups(gpu, layer, group, difference.buffer, moved.buffer);
    gpu.run(kernel, {
      bind: {
        ...{ difference: difference.buffer, moved: moved.buffer, least: least.buffer },
        ...{ scales: tried.scales.buffer, zeros: tried.zeros.buffer },
        ...{ best_scales: grids.scales.buffer, best_zeros: grids.zeros.buffer },
      },
      params: { rows, columns, group, groups, first: Number(i === 0) },
      groups: foldGroups(Math.ceil((rows * groups) / LANES)),
    });
  }
}

export const method = defineInputQuantizer({
  name: "awq",
  title: "AWQ",
  about: "scale inputs of large magnitude down where they are made, then round to nearest",
  cite: "arXiv:2306.00978",
  options: {
    clip: { type: "boolean", default: true, help: "clip the range of each group where that costs least" },
  },
  check({ levels }) {
    if (levels) throw new UserError("awq rounds to integers, not to a table of levels", "use --quant rtn");
  },

  /** GPU memory: three matrices like the largest layer. */
  async prepare(group) {
    const [first] = group.layers;
    if (!first) return;
    const ratios = Array.from({ length: 20 }, (_, i) => i / 20);
    const choices = ratios.map((ratio) => factorsOf(first.layer.inputs.magnitudes, ratio));
    const errors = await errorsUnder(group, choices);
    const best = errors.indexOf(Math.min(...errors));
    if (best > 0) await group.scale(choices[best]!);
  },

  async quantize(layer, scheme, { clip }) {
    using grids = new GroupGrids(layer, scheme);
    if (clip && !QUERY_OR_KEY.test(layer.name)) await fitClipped(layer, scheme, grids);
    else await grids.fit(layer);
    return grids.codes(layer);
  },
});
