/**
 * GPTQ as GPTQModel writes it and vLLM and transformers read it: integers of 2, 3, 4 or 8 bits down the inputs, zero
 * points and scales per group, the group of every column. ../gptq.ts says how the tensors lie.
 *
 * The first format stores zero points less 1, modulo 2^bits: readers that do not wrap take a point of 0 for 2^bits.
 * `gptq-v2` stores them as they are. Layers that stay as they are, or have another width, are told in `dynamic`.
 */
import type { JsonObject } from "../../../json.ts";
import type { TensorInfo } from "../../checkpoint.ts";
import { encodeFloats } from "../../decode.ts";
import { put, wordsOf } from "../bits.ts";
import {
  bySchemes,
  expectScheme,
  filled,
  firstOf,
  groupColumns,
  groupCount,
  info,
  type MatrixScheme,
  moduleOf,
  notLinear,
  oneOf,
  transposed,
  type WriteLayout,
} from "./contract.ts";
import { floatScales, isFloatScale } from "./float-scales.ts";

const WIDTHS = [2, 3, 4, 8];

function plan(name: string, shape: readonly number[], scheme: MatrixScheme): TensorInfo[] {
  const [rows, columns] = [shape[0]!, shape[1]!];
  const { bits, scale } = scheme;
  const groups = groupCount(scheme, columns);
  const stem = moduleOf(name);
  return [
    info(`${stem}.g_idx`, "I32", [columns]),
    info(`${stem}.qweight`, "I32", [wordsOf(columns, bits), rows]),
    info(`${stem}.qzeros`, "I32", [groups, wordsOf(rows, bits)]),
    info(`${stem}.scales`, floatScales(scale), [groups, rows]),
  ];
}

const groupSize = ({ group }: MatrixScheme): number => (typeof group === "number" ? group : -1);

const escaped = (module: string): string => module.replaceAll(".", "\\.");

/** Modules apart: of another scheme, or not quantized. */
function dynamicOf(others: readonly [MatrixScheme, string[]][], ignored: readonly string[]): JsonObject {
  const own = others.flatMap(([scheme, modules]) =>
    modules.map((module): [string, JsonObject] => [
      `+:^${escaped(module)}$`,
      {
        bits: scheme.bits,
        group_size: groupSize(scheme),
        sym: scheme.points === "middle",
        desc_act: scheme.reordered === true,
      },
    ]),
  );
  const none = ignored
    .filter((name) => !name.includes("lm_head"))
    .map((name): [string, JsonObject] => [`-:^${escaped(moduleOf(name))}$`, {}]);
  return Object.fromEntries([...own, ...none]);
}

/** `lower`: what is taken from zero points before they are stored. */
const gptqLayout = (name: string, about: string, format: string, lower: 0 | 1): WriteLayout => ({
  name,
  about,
  scales: ["F16", "BF16", "F32"],
  mixes: true,

  fits(weight, shape, { grid, bits, points, group, scale }) {
    return firstOf(
      notLinear(weight, shape),
      oneOf("grid", grid, ["integer"]),
      oneOf("bits", bits, WIDTHS),
      points === "offsets" && "it has zero points, no offsets",
      group === "tensor" && "it has a scale per group or row, not one for all",
      !isFloatScale(scale) && `its scales are floats, not ${scale}`,
    );
  },

  plan,

  encode(weight, matrix, scheme) {
    expectScheme(weight, matrix, scheme);
    const { rows, columns, bits, codes, scales, zeros, groupOf } = matrix;
    const groups = groupCount(scheme, columns);
    const packed = new Uint32Array(wordsOf(columns, bits) * rows);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) put(packed, r, rows, c * bits, bits, codes[r * columns + c]!);
    }
    const perGroup = wordsOf(rows, bits);
    const points = new Uint32Array(groups * perGroup);
    const mask = 2 ** bits - 1;
    for (let r = 0; r < rows; r++) {
      for (let g = 0; g < groups; g++) {
        const zero = zeros ? zeros[r * groups + g]! : 2 ** (bits - 1);
        put(points, g * perGroup, 1, r * bits, bits, (zero - lower) & mask);
      }
    }
    const size = groupColumns(scheme, columns);
    return filled(plan(weight, [rows, columns], scheme), [
      groupOf ?? Int32Array.from({ length: columns }, (_, column) => Math.floor(column / size)),
      packed,
      points,
      encodeFloats(transposed(scales, rows, groups), floatScales(scheme.scale)),
    ]);
  },

  config(weights, ignored) {
    const [[scheme], ...others] = bySchemes(weights) as [[MatrixScheme, string[]], ...[MatrixScheme, string[]][]];
    const dynamic = dynamicOf(others, ignored);
    return {
      quantization_config: {
        quant_method: "gptq",
        bits: scheme.bits,
        group_size: groupSize(scheme),
        desc_act: scheme.reordered === true,
        sym: scheme.points === "middle",
        lm_head: [...weights.keys()].some((weight) => weight.startsWith("lm_head.")),
        checkpoint_format: format,
        ...(Object.keys(dynamic).length > 0 && { dynamic }),
      },
    };
  },
});

export const layout = gptqLayout("gptq", "GPTQ, integers of 2, 3, 4 or 8 bits", "gptq", 1);
export const second = gptqLayout("gptq-v2", "GPTQ with zero points as they are", "gptq_v2", 0);
