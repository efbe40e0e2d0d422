/**
 * bitsandbytes LLM.int8: bytes, and for each row the f32 of which 1/127 scales it. ../bitsandbytes-int8.ts says how the
 * tensors lie.
 */
import type { TensorInfo } from "../../checkpoint.ts";
import { timesLargest } from "../scales.ts";
import { expectScheme, filled, firstOf, info, moduleOf, notLinear, oneOf, type WriteLayout } from "./contract.ts";

function plan(name: string, shape: readonly number[]): TensorInfo[] {
  const stem = moduleOf(name);
  return [info(name, "I8", shape), info(`${stem}.SCB`, "F32", [shape[0]!]), info(`${stem}.weight_format`, "U8", [])];
}

export const layout: WriteLayout = {
  name: "bnb-int8",
  about: "bitsandbytes LLM.int8, integers of 8 bits with a scale per row",
  scales: ["F32/127"],
  mixes: false,

  fits(name, shape, { grid, bits, points, group, reordered, scale }) {
    return firstOf(
      notLinear(name, shape),
      oneOf("grid", grid, ["integer"]),
      oneOf("bits", bits, [8]),
      points !== "middle" && "it has no zero points",
      group !== "row" && "it has a scale per row",
      reordered && "it keeps columns in their order",
      oneOf("scales", scale, ["F32/127"]),
    );
  },

  plan,

  encode(name, matrix, scheme) {
    expectScheme(name, matrix, scheme);
    const { rows, columns, codes, scales } = matrix;
    return filled(plan(name, [rows, columns]), [
      Int8Array.from(codes, (code) => code - 128),
      timesLargest(scales),
      new Uint8Array(1),
    ]);
  },

  config(_, ignored) {
    return {
      quantization_config: {
        quant_method: "bitsandbytes",
        load_in_4bit: false,
        load_in_8bit: true,
        llm_int8_threshold: 6,
        llm_int8_has_fp16_weight: false,
        llm_int8_skip_modules: ignored.length > 0 ? ignored.map(moduleOf) : null,
      },
    };
  },
};
