/**
 * The sparsifier of DELLA (MagPrune): drop entries of each task vector at random, small ones more often than large
 * ones.
 *
 * Deep et al., 2024, https://arxiv.org/abs/2406.11617; chances as mergekit's `della`: linear in the rank of the
 * magnitude within the row (a vector is one row), from density - epsilon for the smallest to density + epsilon for the
 * largest. Rows run along the last axis, of tensors with more than two axes too.
 */

import { UserError } from "../../errors.ts";
import { foldGroups, spanGroups } from "../../gpu/grid.ts";
import type { OptionSpec } from "../../method/options.ts";
import type { Chunk } from "../job/chunks.ts";
import { randomKey } from "../job/random-key.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";
import { densityOption, everything, sparsifier } from "./sparsify.ts";

const options = {
  ...densityOption,
  epsilon: { type: "number >= 0", per: "model", default: 0.15, help: "how far chances go below and above the density" },
} as const satisfies Record<string, OptionSpec>;

interface Values {
  readonly density: readonly number[];
  readonly epsilon: readonly number[];
}

/** Scratch for sorting rows a batch at a time: many, to fill a GPU; few, to stay in the cache of a processor. */
const BATCH_BYTES = { gpu: 32 << 20, cpu: 2 << 20 };

const ONE = 2 ** 24;

/** Chance of the smallest entry of a row, in 2^-24, and what each rank adds. */
export function chances(density: number, epsilon: number, columns: number): { lowest: number; step: number } {
  if (columns === 1) return { lowest: Math.round(density * ONE), step: 0 };
  return { lowest: Math.round((density - epsilon) * ONE), step: (2 * epsilon * ONE) / (columns - 1) };
}

function check(inputs: TensorInputs<Values>): void {
  for (const [k, density] of inputs.values.density.entries()) {
    const epsilon = inputs.values.epsilon[k]!;
    if (density <= 0 || density >= 1 || (density - epsilon > 0 && density + epsilon < 1)) continue;
    throw new UserError(
      `${inputs.name}: density ${density} -/+ epsilon ${epsilon} of model ${k + 1} does not lie between 0 and 1`,
      "give a smaller epsilon, or density 1 to keep everything",
    );
  }
  if (!inputs.wholeRows) {
    throw new UserError(
      `${inputs.name}: rows of ${inputs.columns} values are too long to be ranked on this adapter`,
      "merge this tensor with another method, or give it density 1",
    );
  }
}

async function drawMasks(inputs: TensorInputs<Values>, masks: GPUBuffer, pitch: number): Promise<void> {
  const { gpu, columns } = inputs;
  const fill = await gpu.kernel("merge/fill-masks");
  const draw = await gpu.kernel("merge/rank-masks", { flags: inputs.flags() });
  const drawn: number[] = [];
  for (const [k, density] of inputs.values.density.entries()) {
    if (density > 0 && density < 1) drawn.push(k);
    const n4 = pitch / 4;
    const value = density >= 1 ? 0xffffffff : 0;
    gpu.run(fill, { bind: { masks }, params: { n4, first: k * n4, value }, groups: spanGroups(n4) });
  }
  const padded = 2 ** Math.ceil(Math.log2(columns));
  const batch = Math.max(1, Math.floor(BATCH_BYTES[gpu.adapter.type === "cpu" ? "cpu" : "gpu"] / (8 * padded)));
  await inputs.each((chunk: Chunk) => {
    const rows = chunk.length / columns;
    using pairs = gpu.buffer(8 * padded * Math.min(batch, rows), `${inputs.name} ranks`);
    for (const k of drawn) {
      const [key_x, key_y] = randomKey(inputs.settings.seed, inputs.streamName, inputs.task.modelIndex[k]!);
      for (let row = 0; row < rows; row += batch) {
        const taken = Math.min(batch, rows - row);
        gpu.run(draw, {
          bind: { stack: chunk.stack, pairs: pairs.buffer, masks },
          params: {
            ...{ pitch: chunk.pitch, slot: inputs.first + k, columns, padded, first_row: row, rows: taken },
            ...{ start: chunk.start, mask: k * pitch, key_x, key_y },
            ...chances(inputs.values.density[k]!, inputs.values.epsilon[k]!, columns),
          },
          groups: foldGroups(taken), // one per row
        });
      }
    }
  });
}

/**
 * Keeps each entry with its chance. One pass; a bit per value and model, and at most 32 MiB to sort in (or one row, if
 * longer).
 */
export const magPrune = sparsifier({
  options,
  trials: [{}, { density: 0.5 }],
  passes: "many",
  scratch: 1,
  async find(inputs) {
    const { density } = inputs.values;
    if (inputs.size === 0 || density.every((share) => share >= 1)) return everything(inputs);
    check(inputs);
    const pitch = Math.ceil(inputs.size / 128) * 4;
    const bytes = 4 * pitch * inputs.count;
    const limit = inputs.gpu.adapter.limits.maxStorageBufferBindingSize ?? 2 ** 27;
    if (bytes > limit) {
      throw new UserError(
        `${inputs.name}: masks of ${inputs.size} values for ${inputs.count} models exceed this adapter's largest binding (${limit} bytes)`,
        "merge fewer models at a time, or give this tensor density 1",
      );
    }
    const masks = inputs.hold(bytes, "masks");
    await drawMasks(inputs, masks, pitch);
    return {
      flag: "by_mask",
      models: density.map((share) => ({ empty: share <= 0 })),
      masks: { buffer: masks, pitch },
    };
  },
});
