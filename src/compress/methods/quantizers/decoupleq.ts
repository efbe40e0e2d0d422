/**
 * decoupleQ: integers, and the scales and offsets of their groups, by turns, each the best for the other.
 *
 * Guo et al. 2024, https://arxiv.org/abs/2404.12759, without the stage that trains scales of whole blocks.
 *
 *   min over q, s, z of (w - s q - z) H (w - s q - z)^T in every row
 *
 * It begins with GPTQ in the order of the inputs' sizes. Given s and z, weights that may lie anywhere between the ends
 * of their grid are fitted by projected Adam, and rounded by a sweep. Given integers, s and z are a least-squares fit.
 * Every row keeps the best that was found. Rates are shares of the weights' root mean square, 0.05 of which is the
 * authors' 1e-3 for weights of about 0.02; groups begin with the range that loses least (`--mse` of other methods).
 */
import type { QuantizedMatrix } from "../../../checkpoint/quantized/matrix.ts";
import { UserError } from "../../../errors.ts";
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import { type Relaxing, relaxed } from "../../boxed-weights.ts";
import { type MeasuredLayer, readWeights } from "../../layer.ts";
import { GroupGrids } from "../../nearest-codes.ts";
import { defineInputQuantizer, type Scheme, storedScales } from "../../quantizer.ts";
import { type Affine, refit, rowErrors, type Weighed } from "../../refit.ts";
import { ColumnSweep, SWEEP_OPTIONS, sweepCodes } from "../../second-order/sweep-codes.ts";

/** Share of the rows that must gain for another round. */
const LEAST_GAIN = 1e-4;

/** The middle code of symmetric integers; undefined of others. */
const middleOf = ({ symmetric, bits }: Scheme): number | undefined => (symmetric ? 2 ** (bits - 1) : undefined);

/** A matrix of codes with zero points as one with offsets. */
function affineOf({ codes, scales, zeros }: QuantizedMatrix, scheme: Scheme): Affine {
  const middle = 2 ** (scheme.bits - 1);
  const offsets = scales.map((scale, cell) => -scale * (zeros?.[cell] ?? middle));
  return stored({ codes, scales, offsets }, scheme);
}

/** Scales and offsets as they will be stored. */
function stored({ codes, scales, offsets }: Affine, scheme: Scheme): Affine {
  const middle = middleOf(scheme);
  const rounded = storedScales(scales, scheme.scales);
  const shifts = middle === undefined ? storedScales(offsets, scheme.scales) : rounded.map((scale) => -middle * scale);
  return { codes, scales: rounded, offsets: shifts };
}

/** The best that was found for each row. */
class BestRows {
  readonly #work: Weighed;
  readonly #rows: number;
  #errors: Float64Array | undefined;
  found: Affine;

  constructor(work: Weighed, first: Affine) {
    this.#work = work;
    this.#rows = work.rows;
    this.found = { codes: first.codes.slice(), scales: first.scales.slice(), offsets: first.offsets.slice() };
  }

  /** Takes the rows in which another is better. Gives how many. */
  async take(other: Affine): Promise<number> {
    this.#errors ??= await rowErrors(this.#work, this.found);
    const errors = await rowErrors(this.#work, other);
    let gained = 0;
    for (let row = 0; row < this.#rows; row++) {
      if (!(errors[row]! < this.#errors[row]!)) continue;
      gained++;
      this.#errors[row] = errors[row]!;
      for (const part of ["codes", "scales", "offsets"] as const) {
        const width = other[part].length / this.#rows;
        this.found[part].set(other[part].subarray(row * width, (row + 1) * width), row * width);
      }
    }
    return gained;
  }
}

/** A matrix with something added to its diagonal; of rows that hold no such layer's inputs 0 everywhere. */
async function damped(layer: MeasuredLayer, damp: number): Promise<PooledBuffer> {
  const { gpu, columns, inputs } = layer;
  const gram = await gpu.readFloats(inputs.gram.buffer, columns ** 2, 4 * (inputs.gram.start ?? 0));
  let mean = 0;
  for (let i = 0; i < columns; i++) mean += gram[i * (columns + 1)]! / columns;
  for (let i = 0; i < columns; i++) gram[i * (columns + 1)]! += damp * mean;
  return gpu.upload(gram, "damped second moments");
}

export const method = defineInputQuantizer({
  name: "decoupleq",
  title: "decoupleQ",
  about: "integers, and scales and offsets by least squares, by turns; for 2 bits",
  cite: "arXiv:2404.12759",
  offsets: true,
  options: {
    ...SWEEP_OPTIONS,
    rounds: {
      type: "number.integer >= 0",
      default: 4,
      help: "turns of integers and scales after the first; 0: GPTQ whose scales are fitted again",
      value: "N",
    },
    relax_steps: {
      type: "number.integer >= 1",
      default: 200,
      help: "steps that fit weights within their ranges before they are rounded",
      value: "N",
    },
    relax_lr: {
      type: "number > 0",
      default: 0.05,
      help: "rate of these steps, as a share of the root mean square of the weights",
      value: "LR",
    },
  },
  check({ levels, symmetric, keepZeros }) {
    if (levels) throw new UserError("decoupleq fits integers, not a table of levels", "use --quant gptq");
    if (keepZeros && !symmetric)
      throw new UserError(
        "decoupleq has offsets, under which no code is 0, and the weights were pruned",
        "add --symmetric, or use --quant gptq",
      );
  },

  /** GPU memory: two matrices like H, or four while they are inverted, and six like W. */
  async quantize(layer, scheme, { damp, block, rounds, relax_steps, relax_lr }) {
    const { gpu, rows, columns, weight } = layer;
    const sweeping = { damp, block, actOrder: true };
    const first = await sweepCodes(layer, scheme, {
      ...{ ...sweeping, staticGroups: true, search: scheme.group < columns },
    });
    using gram = await damped(layer, damp);
    const group = Math.min(scheme.group, columns);
    const work: Weighed = {
      ...{ gpu, weight, rows, columns, group },
      gram: { buffer: gram.buffer, rows: columns, columns },
    };
    const best = new BestRows(work, affineOf(first, scheme));
    using nearest = new GroupGrids(layer, scheme);
    await nearest.fit(layer);
    await best.take(affineOf(await nearest.codes(layer), scheme));
    const middle = middleOf(scheme);
    await best.take(stored(await refit(work, best.found, middle), scheme));
    if (rounds > 0) {
      const values = await readWeights(layer);
      const size = Math.sqrt(values.reduce((sum, w) => sum + w * w, 0) / values.length);
      const relaxing = { steps: relax_steps, rate: relax_lr * size, top: 2 ** scheme.bits - 1 };
      using columnSweep = await ColumnSweep.of(layer, sweeping);
      for (let round = 0; round < rounds; round++) {
        layer.signal.throwIfAborted();
        const found = await roundAgain(work, columnSweep, best.found, { relaxing, scheme });
        const gained = await best.take(stored(await refit(work, found, middle), scheme));
        if (gained <= LEAST_GAIN * rows) break;
      }
    }
    const { codes, scales, offsets } = best.found;
    const { bits } = scheme;
    return { rows, columns, bits, group, codes, scales, ...(scheme.symmetric ? {} : { offsets }) };
  },
});

/** Integers for scales and offsets: relaxed weights, rounded by a sweep. */
async function roundAgain(
  work: Weighed,
  columnSweep: ColumnSweep,
  found: Affine,
  { relaxing, scheme }: { readonly relaxing: Relaxing; readonly scheme: Scheme },
): Promise<Affine> {
  const { gpu, columns, group } = work;
  using weight = await relaxed(work, found, relaxing);
  using scales = gpu.upload(found.scales, "scales");
  using zeros = gpu.upload(found.offsets, "offsets");
  const groupOf = columnSweep.order.map((column) => Math.floor(column / group));
  const grid = { scales, zeros, groups: Math.ceil(columns / group), values: "offsets", top: relaxing.top } as const;
  return {
    ...found,
    codes: await columnSweep.codes(weight, grid, groupOf, scheme.keepZeros ? { keep: work.weight } : {}),
  };
}
