/**
 * GPTQ: columns take their codes one after the other, and those after make up for what is lost.
 *
 * Frantar et al., ICLR 2023, https://arxiv.org/abs/2210.17323, and its code: scales of a group are those of its weights
 * as they are when the block in which it begins is reached. With `--act-order` the columns of the largest inputs go
 * first, and groups are of columns in that order, but with `--static-groups`, which fits them before.
 */
import type { QuantizedMatrix } from "../../../checkpoint/quantized/matrix.ts";
import { CLIP_SEARCH, refuseSearchOfLevels } from "../../clip-search.ts";
import { defineInputQuantizer } from "../../quantizer.ts";
import { SWEEP_OPTIONS, sweepCodes } from "../../second-order/sweep-codes.ts";

export const method = defineInputQuantizer({
  name: "gptq",
  title: "GPTQ",
  about: "round column by column, and let the columns after make up for it",
  cite: "arXiv:2210.17323",
  options: {
    ...SWEEP_OPTIONS,
    act_order: { type: "boolean", default: false, help: "round the columns of the largest inputs first" },
    static_groups: { type: "boolean", default: false, help: "fit the scales of all groups before any column changes" },
    ...CLIP_SEARCH,
  },
  check(scheme, { mse }) {
    refuseSearchOfLevels(scheme, mse);
  },
  reorders: ({ act_order, static_groups }) => act_order && !static_groups,

  /** GPU memory: four matrices like H and three like W. */
  async quantize(layer, scheme, { damp, block, act_order, static_groups, mse }): Promise<QuantizedMatrix> {
    return sweepCodes(layer, scheme, { damp, block, actOrder: act_order, staticGroups: static_groups, search: mse });
  },
});
