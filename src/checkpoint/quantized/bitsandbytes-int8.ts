/**
 * bitsandbytes LLM.int8: W = weight * SCB[row] / 127. Dettmers et al. 2022, https://arxiv.org/abs/2208.07339.
 *
 * weight is I8 (o, i), SCB F32 (o): the largest magnitude of each row. weight_format says how rows are laid out; 0 is
 * row after row, and the others, made for old GPUs, are refused.
 */
import type { TensorEntry } from "../checkpoint.ts";
import {
  companion,
  type Decoded,
  described,
  expectShape,
  type Layout,
  once,
  refusal,
  type Stored,
} from "./contract.ts";
import { gridOf } from "./grid.ts";
import { readBytes } from "./read.ts";
import { scaledBytes } from "./scaled-bytes.ts";

const NAME = "bitsandbytes int8";
const LARGEST = 127;

async function find(codes: TensorEntry, stored: Stored): Promise<Decoded> {
  const stem = codes.name.replace(/weight$/, "");
  const scale = companion(stored, NAME, codes, `${stem}SCB`, ["F32", "F16", "BF16"]);
  const format = stored.tensors.get(`${stem}weight_format`);
  if (codes.shape.length !== 2) throw refusal(stored, NAME, `${described(codes)}; expected two sides`);
  expectShape(stored, NAME, scale, [codes.shape[0]!]);
  const checked = once(async () => {
    const [value] = format ? await readBytes(format, 0, Math.min(1, format.bytes)) : [0];
    if (value === 0) return;
    throw refusal(stored, NAME, `${format!.name} is ${value}: its rows are tiled for old GPUs, which no decoder reads`);
  });
  if (stored.seekable) await checked();
  const grid = gridOf(codes.shape, scale.shape)!;
  const { decode, matrix } = scaledBytes(stored, { codes, scale, grid, divisor: LARGEST });
  return {
    ...{ layout: NAME, bits: 8, group: "one scale per row", name: codes.name, shape: codes.shape },
    consumes: [codes.name, scale.name, ...(format ? [format.name] : [])],
    async decode(into, first) {
      await checked();
      await decode(into, first);
    },
    matrix: matrix && {
      ...matrix,
      async read(first, count) {
        await checked();
        return matrix.read(first, count);
      },
    },
  };
}

export const layout: Layout = {
  name: NAME,
  methods: ["bitsandbytes"],
  find(entry, stored) {
    const isCodes = entry.dtype === "I8" && entry.name.endsWith(".weight");
    return isCodes && stored.tensors.has(entry.name.replace(/weight$/, "SCB")) ? find(entry, stored) : undefined;
  },
};
