/** Rows of a model's embedding of tokens, for what stands in the place of tokens. */
import { decodeFloats } from "../../checkpoint/decode.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { AdaptedModel } from "./contract.ts";

/**
 * (rows, C) in f32: rows of the embedding, each drawn among all by (seed, name); only these are read. Throws UserError
 * of a model that embeds no tokens.
 */
export async function drawnTokens(
  gpu: Gpu,
  { specs, parameters, sizes }: AdaptedModel,
  { rows, seed, name }: { readonly rows: number; readonly seed: number; readonly name: string },
): Promise<Float32Array> {
  const spec = specs.find(({ table, shape }) => table && shape[0] === sizes.outputs);
  const table = spec && parameters.get(spec.name);
  if (!table) throw new UserError("the model has no embedding of tokens to begin with", "begin with random values");
  const [vocabulary = 0, width = 0] = table.shape;
  const each = table.dtype === "bf16" ? 2 : 4;
  const unit = keyedUnits(seed, name);
  const drawn = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const first = Math.floor(unit() * vocabulary) * width * each;
    const from = first - (first % 4); // reads begin and end at words
    const bytes = Math.ceil((first - from + width * each) / 4) * 4;
    const values = await gpu.read(table.buffer, from, bytes, (view) =>
      decodeFloats(view.slice(first - from, first - from + width * each), each === 2 ? "BF16" : "F32"),
    );
    drawn.set(values, row * width);
  }
  return drawn;
}
