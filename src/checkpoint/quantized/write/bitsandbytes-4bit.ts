/**
 * bitsandbytes NF4 and FP4 as transformers saves them, without nested scales: two codes to a byte, an f32 per block of
 * values. Blocks run over the whole matrix, so that they are groups of columns where these divide a row.
 * ../bitsandbytes-4bit.ts says how the tensors lie.
 */
import type { TensorInfo } from "../../checkpoint.ts";
import { torchName } from "../../dtype.ts";
import { LEVELS } from "../levels.ts";
import {
  expectScheme,
  filled,
  firstOf,
  groupCount,
  info,
  type MatrixScheme,
  moduleOf,
  nibbles,
  notLinear,
  oneOf,
  onlyScheme,
  type WriteLayout,
} from "./contract.ts";

const BLOCKS = [64, 128, 256, 512, 1024, 2048, 4096];

const nameOf = (grid: MatrixScheme["grid"]): "nf4" | "fp4" => (grid === "nf4" ? "nf4" : "fp4");

/** The JSON beside the codes, in the form of Python's json. */
function stateOf(shape: readonly number[], { grid, group, plain }: MatrixScheme): Uint8Array {
  const type = torchName(plain);
  const text = `{"quant_type": "${nameOf(grid)}", "blocksize": ${group}, "dtype": "${type}", "shape": [${shape.join(", ")}]}`;
  return new TextEncoder().encode(text);
}

function plan(name: string, shape: readonly number[], scheme: MatrixScheme): TensorInfo[] {
  const [rows, columns] = [shape[0]!, shape[1]!];
  return [
    info(name, "U8", [(rows * columns) / 2, 1]),
    info(`${name}.absmax`, "F32", [rows * groupCount(scheme, columns)]),
    info(`${name}.quant_map`, "F32", [16]),
    info(`${name}.quant_state.bitsandbytes__${nameOf(scheme.grid)}`, "U8", [stateOf(shape, scheme).length]),
  ];
}

export const layout: WriteLayout = {
  name: "bnb-4bit",
  about: "bitsandbytes NF4 and FP4, blocks of 64 values or more",
  scales: ["F32"],
  mixes: false,

  fits(name, shape, { grid, group, reordered, scale }) {
    const columns = shape[1]!;
    return firstOf(
      notLinear(name, shape),
      oneOf("grid", grid, ["nf4", "bnb-fp4"]),
      oneOf("groups", group, BLOCKS),
      reordered && "it keeps columns in their order",
      typeof group === "number" && columns % group !== 0 && `its ${columns} columns are no whole blocks of ${group}`,
      oneOf("scales", scale, ["F32"]),
    );
  },

  plan,

  encode(name, matrix, scheme) {
    expectScheme(name, matrix, scheme);
    const { rows, columns, codes, scales } = matrix;
    const shape = [rows, columns];
    return filled(plan(name, shape, scheme), [
      nibbles(codes, "high"),
      scales,
      LEVELS[scheme.grid === "nf4" ? "nf4" : "bnb-fp4"],
      stateOf(shape, scheme),
    ]);
  },

  config(weights, ignored) {
    const { grid, plain } = onlyScheme("bitsandbytes", weights);
    return {
      quantization_config: {
        quant_method: "bitsandbytes",
        load_in_4bit: true,
        load_in_8bit: false,
        bnb_4bit_quant_type: nameOf(grid),
        bnb_4bit_use_double_quant: false,
        bnb_4bit_compute_dtype: torchName(plain) ?? "float32",
        bnb_4bit_quant_storage: "uint8",
        llm_int8_skip_modules: ignored.length > 0 ? ignored.map(moduleOf) : null,
      },
    };
  },
};
