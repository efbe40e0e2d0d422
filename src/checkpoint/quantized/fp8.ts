/**
 * FP8 with a factor per block, row or tensor: W = code * weight_scale_inv (a factor in spite of its name).
 *
 * As DeepSeek-V3 stores it (https://arxiv.org/abs/2412.19437, section 3.3; transformers' `quant_method` fp8): F8_E4M3
 * codes (o, i), scales (⌈o / b0⌉, ⌈i / b1⌉) with `weight_block_size` [b0, b1]. Blocks at the edges are cut.
 */

import type { TensorEntry } from "../checkpoint.ts";
import { companion, type Decoded, described, type Layout, refusal, type Stored } from "./contract.ts";
import { gridOf } from "./grid.ts";
import { isByteCodes, scaledBytes } from "./scaled-bytes.ts";

const NAME = "FP8";

/** `weight_block_size` of a config, where it is a pair of sizes. */
function blockOf({ settings }: Stored): [number, number] | undefined {
  const size = settings?.weight_block_size;
  const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;
  return Array.isArray(size) && isSize(size[0]) && isSize(size[1]) ? [size[0], size[1]] : undefined;
}

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  const scale = companion(stored, NAME, codes, `${codes.name}_scale_inv`, ["float"]);
  const block = blockOf(stored);
  const grid = codes.shape.length < 2 ? undefined : gridOf(codes.shape, scale.shape, { block });
  if (grid === undefined) {
    const wanted = block
      ? `blocks of ${block.join(" x ")}`
      : "one scale, one per row, or blocks that the config states";
    throw refusal(stored, NAME, `${described(codes)} and ${described(scale)}, which is not ${wanted}`);
  }
  return {
    ...{ layout: NAME, bits: 8, group: grid.text, name: codes.name, shape: codes.shape },
    consumes: [codes.name, scale.name],
    ...scaledBytes(stored, { codes, scale, grid }),
  };
}

export const layout: Layout = {
  name: NAME,
  methods: ["fp8", "fbgemm_fp8", "modelopt"],
  find(entry, stored) {
    const isCodes = isByteCodes(entry.dtype) && stored.tensors.has(`${entry.name}_scale_inv`);
    return isCodes ? find(entry, stored) : undefined;
  },
};
