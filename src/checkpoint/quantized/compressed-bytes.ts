/**
 * compressed-tensors float-quantized and int-quantized: W = (weight - weight_zero_point) * weight_scale, with codes
 * F8_E4M3 or I8 in the weight's own shape and scales per tensor, row, group of columns or block.
 *
 * https://github.com/vllm-project/compressed-tensors. FBGEMM's FP8 and ModelOpt's FP8 use the same names.
 */
import type { TensorEntry } from "../checkpoint.ts";
import { COMPRESSED_TENSORS, refuseTransforms, schemeBlock, schemeGroups } from "./compressed-tensors.ts";
import { companion, type Decoded, described, expectShape, type Layout, refusal, type Stored } from "./contract.ts";
import { gridOf } from "./grid.ts";
import { isByteCodes, scaledBytes } from "./scaled-bytes.ts";

const FLOAT = "compressed-tensors float-quantized";
const INT = "compressed-tensors int-quantized";

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  const name = codes.dtype === "I8" ? INT : FLOAT;
  refuseTransforms(stored);
  const scale = companion(stored, name, codes, `${codes.name}_scale`, ["float"]);
  const hints = { block: schemeBlock(stored), groups: schemeGroups(stored) };
  const grid = codes.shape.length < 2 ? undefined : gridOf(codes.shape, scale.shape, hints);
  if (grid === undefined) {
    throw refusal(stored, name, `${described(codes)} and ${described(scale)}, which is no grid over it`);
  }
  const zero = stored.tensors.has(`${codes.name}_zero_point`)
    ? companion(stored, name, codes, `${codes.name}_zero_point`, ["I8", codes.dtype])
    : undefined;
  if (zero) expectShape(stored, name, zero, scale.shape);
  if (zero && zero.dtype !== "I8") throw refusal(stored, name, `${described(zero)}; expected I8`);
  return {
    ...{ layout: name, bits: 8, group: grid.text, name: codes.name, shape: codes.shape },
    consumes: [codes.name, scale.name, ...(zero ? [zero.name] : [])],
    ...scaledBytes(stored, { codes, scale, grid, zero }),
  };
}

export const layout: Layout = {
  name: "compressed-tensors float-quantized and int-quantized",
  methods: [COMPRESSED_TENSORS, "fp8", "fbgemm_fp8", "modelopt"],
  find(entry, stored) {
    const isCodes = isByteCodes(entry.dtype) && stored.tensors.has(`${entry.name}_scale`);
    return isCodes ? find(entry, stored) : undefined;
  },
};
