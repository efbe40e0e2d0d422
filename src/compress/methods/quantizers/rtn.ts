/**
 * Round to nearest: every weight by itself, on the grid that the range of its group gives.
 *
 * With `--mse`, the search of the code of Frantar et al. 2022, https://arxiv.org/abs/2210.17323: the share of the range
 * whose error to the power 2.4 is least.
 */
import type { ScaledFormat } from "../../../checkpoint/numbers/number-format.ts";
import { quantizeRows } from "../../../checkpoint/numbers/quantize-rows.ts";
import type { QuantizedMatrix } from "../../../checkpoint/quantized/matrix.ts";
import { UserError } from "../../../errors.ts";
import { CLIP_SEARCH, refuseSearchOfLevels } from "../../clip-search.ts";
import type { Layer } from "../../layer.ts";
import { GroupGrids } from "../../nearest-codes.ts";
import { defineWeightQuantizer, type Scheme } from "../../quantizer.ts";

const FLOATS = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/** Codes on the host, as a number format has them; scales that are floats are of the file's type. */
async function inFormat(
  { gpu, weight, rows, columns }: Layer,
  format: ScaledFormat,
  scales: Scheme["scales"],
): Promise<QuantizedMatrix> {
  const values = await gpu.readFloats(weight.buffer, rows * columns);
  return quantizeRows(values, rows, columns, format.rule === "absmax" ? { ...format, scale: FLOATS[scales] } : format);
}

export const method = defineWeightQuantizer({
  name: "rtn",
  title: "Round to nearest",
  about: "round each weight on the grid of its group; needs no rows",
  cite: "common practice",
  options: {
    ...CLIP_SEARCH,
    absmax: {
      type: "boolean",
      default: false,
      help: "symmetric: the largest of a group is the code 2^(bits - 1) - 1, exactly",
    },
  },
  check(scheme, { mse, absmax }) {
    refuseSearchOfLevels(scheme, mse);
    if (absmax && (!scheme.symmetric || scheme.levels))
      throw new UserError("--absmax is of symmetric integers", "add --symmetric, or leave --absmax out");
  },
  scalesOfFormats: true,
  async quantize(layer, scheme, { mse, absmax }) {
    if (scheme.format) return inFormat(layer, scheme.format, scheme.scales);
    using grids = new GroupGrids(layer, scheme, { search: mse, absmax });
    await grids.fit(layer);
    return grids.codes(layer);
  },
});
