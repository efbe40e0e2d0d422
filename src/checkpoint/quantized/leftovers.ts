/** Tensors that belong to a quantisation and that no decoder takes: scales of activations, and layouts not known. */
import { show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { isFloat } from "../dtype.ts";
import { type Decoded, described, refusal, type Stored } from "./contract.ts";
import { LAYOUTS } from "./layouts.ts";

/** Scales of what flows through the layers, and of the cache: no weight depends on them. */
const ACTIVATIONS =
  /(^|[._])(input|output|activation|q|k|v|kv|prob)_(scale|scale_ub|zero_point|global_scale|amax|scale_inv)$/;

/** Names that mark layouts without a decoder here. */
const FOREIGN: readonly [pattern: RegExp, layout: string][] = [
  [/\.(codebooks|codes)$/, "AQLM"],
  [/\.W_q$/, "HQQ"],
  [/\.q_(weight|scale|scale_max|perm|invperm|groups|group_map)$/, "EXL2"],
  [/\.trellis$/, "EXL3"],
  [/\.(Qidxs|Qidxs_list)$/, "QuIP#"],
  [/\.weight\._(data|scale|shift)$/, "quanto"],
  [/[._:]_?(weight_)?(qdata|int_data|tensor_impl|layout_tensor)$/, "torchao"],
  [/\.(res_)?(centroids|indices)(\.weight)?$/, "VPTQ"],
  [/\.(marlin_qweight|workspace|B)$/, "Marlin"],
  [/\.weight_scales$/, "EETQ"],
  [/\.dense_weights$/, "SpQR"],
  [/\.weight_scale_2$/, "ModelOpt NVFP4"],
  [/\.(bitmask|compressed|row_offsets)$/, "compressed-tensors sparse"],
];

/** Names of companions that mean nothing but a quantisation. */
const COMPANIONS = [
  /\.(qweight|qzeros|g_idx|SCB|absmax|quant_map|nested_absmax|nested_quant_map)$/,
  /weight_(scale|scale_inv|zero_point|global_scale|packed|g_idx)$/,
  /\.quant_state\.bitsandbytes__\w+$/,
];

/** Codes and exponents of experts. */
const EXPERTS = /_(blocks|scales)$/;

const HINT = "dequantize it with the tool that made it, or use the model it was quantized from";

/** How a method is named in messages. */
const named = ({ method }: Stored): string =>
  method === undefined || method === "unknown" ? "layout not known" : show(method);

/** Throws UserError when the config names a method that no layout has. */
export function refuseMethod(stored: Stored): void {
  const { method } = stored;
  if (method === undefined || LAYOUTS.some(({ methods }) => methods.includes(method))) return;
  const codes = [...stored.tensors.values()].find(({ dtype, shape }) => shape.length > 1 && !isPlain(dtype));
  const said = `config.json states quant_method ${show(method)}${codes ? ` and ${described(codes)}` : ""}`;
  throw refusal(stored, named(stored), `${said}; no decoder reads this layout`, HINT);
}

const isPlain = (dtype: TensorEntry["dtype"]): boolean => isFloat(dtype) && !dtype.startsWith("F8");

/**
 * Names of tensors that are left out because they belong to activations. Throws UserError for one that is part of a
 * quantisation and that no decoder took: averaged or run, its codes would be noise.
 */
export function leftOut(stored: Stored, decoded: readonly Decoded[]): string[] {
  const taken = new Set(decoded.flatMap(({ consumes }) => consumes));
  const quantized = decoded.length > 0 || stored.settings !== undefined;
  const dropped: string[] = [];
  for (const entry of stored.tensors.values()) {
    const { name, dtype, shape } = entry;
    if (taken.has(name)) continue;
    if (quantized && ACTIVATIONS.test(name) && shape.reduce((a, b) => a * b, 1) <= 1) {
      dropped.push(name);
      continue;
    }
    const foreign = FOREIGN.find(
      ([pattern]) => pattern.test(name) && (quantized || (!isPlain(dtype) && shape.length > 1)),
    );
    if (foreign) throw refusal(stored, foreign[1], `${described(entry)}; no decoder reads this layout`, HINT);
    const codes = !isPlain(dtype) && shape.length > 1 && /weight$/.test(name) && (quantized || !isFloat(dtype));
    if (codes) {
      throw refusal(
        stored,
        named(stored),
        `${described(entry)} and has no scales, so that its codes mean nothing`,
        HINT,
      );
    }
    if (
      (COMPANIONS.some((pattern) => pattern.test(name)) && (quantized || !isPlain(dtype))) ||
      (EXPERTS.test(name) && dtype === "U8")
    ) {
      throw refusal(stored, named(stored), `${described(entry)} and belongs to no weight`, HINT);
    }
  }
  return dropped;
}
