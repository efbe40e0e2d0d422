/**
 * BOFT: a rotation of what a layer reads as a product of block-diagonal ones between butterfly permutations, and a
 * learnt scale of every output, y = s W (x M) + b.
 *
 * Liu et al., ICLR 2024, https://arxiv.org/abs/2311.06243, section 4; in PEFT's form (peft/tuners/boft): factor i mixes
 * blocks that are 2^i apart, each block is (I - S)(I + S)^-1 of the skew part S of what is learnt, and with one factor
 * M is a block-diagonal matrix. PEFT without its CUDA kernel takes one factor whatever is asked for.
 */
import { UserError } from "../../../errors.ts";
import type { Values } from "../../../method/options.ts";
import { reorder, timesBlocks } from "../../../tensor/ops/blocks.ts";
import { splitColumns } from "../../../tensor/ops/columns.ts";
import { add, mul, sub } from "../../../tensor/ops/elementwise.ts";
import { adapterType } from "../declared.ts";
import { cayley, cayleyOnHost, skewPart } from "../rotations.ts";

const OPTIONS = {
  boft_block_size: {
    type: "number.integer >= 0",
    default: 4,
    help: "side of a block, which divides the inputs; 0 where --boft-block-num says it",
    value: "N",
  },
  boft_block_num: {
    type: "number.integer >= 0",
    default: 0,
    help: "blocks of every layer, in place of their side",
    value: "N",
  },
  boft_n_butterfly_factor: { type: "number.integer >= 1", default: 1, help: "factors of the rotation", value: "N" },
} as const;

interface Cut {
  readonly factors: number;
  readonly blocks: number;
  readonly side: number;
}

/** How a layer's inputs are cut. Throws UserError where they cannot be. */
function cutOf(module: string, into: number, values: Values<typeof OPTIONS>): Cut {
  const { boft_block_size: size, boft_block_num: count, boft_n_butterfly_factor: factors } = values;
  if ((size === 0) === (count === 0))
    throw new UserError(
      `a side of ${size} and ${count} blocks do not say how inputs are cut for BOFT`,
      "give one of them, and 0 for the other",
    );
  const [blocks, side] = count === 0 ? [into / size, size] : [count, into / count];
  const halves = factors === 1 || (side % 2 === 0 && blocks % 2 ** (factors - 1) === 0);
  if (!Number.isInteger(blocks) || !Number.isInteger(side) || !halves)
    throw new UserError(
      `BOFT does not cut the ${into} inputs of ${module} to blocks of ${side}${factors > 1 ? ` with ${factors} factors` : ""}`,
      "blocks divide the inputs; with more factors their side is even, and 2^(factors - 1) divides their number",
    );
  return { factors, blocks, side };
}

/**
 * Which stretch of half a block comes at each place of a factor's input: of every 2^factor blocks the even stretches,
 * then the odd ones.
 */
function butterfly({ blocks, factors }: Cut, factor: number): number[] {
  const units = 2 * blocks;
  const chunk = factors === 1 ? units : 2 * 2 ** factor;
  return Array.from({ length: units }, (_, at) => {
    if (factors === 1) return at;
    const own = at % chunk;
    const half = chunk / 2;
    return at - own + (own < half ? 2 * own : 2 * (own - half) + 1);
  });
}

/** The place of each stretch. */
function inverted(order: readonly number[]): number[] {
  const places: number[] = [];
  for (const [at, from] of order.entries()) places[from] = at;
  return places;
}

export const method = adapterType({
  name: "boft",
  title: "BOFT",
  about: "turns what a layer reads by butterfly products of small rotations, and scales its outputs",
  cite: "arXiv:2311.06243",
  options: OPTIONS,
  peftType: "BOFT",
  takes: ["linear"],
  fanInFanOut: true,
  parts: ["boft_R", "boft_s"],
  config: () => ({ bias: "none", boft_dropout: 0, init_weights: true }),
  tensors({ module, into, out }, { values }) {
    const { factors, blocks, side } = cutOf(module, into, values);
    return {
      boft_R: { shape: [factors, blocks, side, side], begins: "zeros" },
      boft_s: { shape: [out, 1], begins: "ones" },
    };
  },
  linear(layer, x) {
    const { rec, target, values, tensor } = layer;
    const cut = cutOf(target.module, target.into, values);
    const { factors, blocks, side } = cut;
    const turns = cayley(rec, skewPart(rec, rec.reshape(tensor("boft_R"), [factors * blocks, side, side])));
    const flat = rec.reshape(turns, [1, factors * blocks * side * side]);
    const widths = Array.from({ length: factors }, () => blocks * side * side);
    const own = splitColumns(rec, flat, widths).map((part) => rec.reshape(part, [blocks, side, side]));
    let y = x;
    for (let factor = factors - 1; factor >= 0; factor--) {
      const order = butterfly(cut, factor);
      const isMoved = factor > 0;
      const sorted = isMoved ? reorder(rec, y, inverted(order)) : y;
      const turned = timesBlocks(rec, sorted, own[factor]!);
      y = isMoved ? reorder(rec, turned, order) : turned;
    }
    const s = rec.reshape(tensor("boft_s"), [1, target.out]);
    // The scale is of the weight alone: s (W y + b) + b (1 - s).
    const scaled = layer.bias
      ? add(rec, mul(rec, sub(rec, layer.product(y), layer.bias), s), layer.bias)
      : mul(rec, layer.product(y), s);
    return layer.finish(scaled);
  },
  fold({ module, into, transposed, tensor }, { values }) {
    const cut = cutOf(module, into, values);
    const { factors, blocks, side } = cut;
    const [r, s] = [tensor("boft_R").values, tensor("boft_s").values];
    const cells = side * side;
    const turns = Array.from({ length: factors * blocks }, (_, e) => {
      const skewed = Float64Array.from({ length: cells }, (_, at) => {
        const [i, j] = [Math.floor(at / side), at % side];
        return 0.5 * (r[e * cells + at]! - r[e * cells + j * side + i]!);
      });
      return cayleyOnHost(skewed, side);
    });
    const orders = Array.from({ length: factors }, (_, factor) => butterfly(cut, factor));
    const half = side / 2;
    /** Where value i of the inputs stands for a factor. */
    const placeIn = (factor: number, i: number) =>
      factor === 0 ? i : orders[factor]![Math.floor(i / half)]! * half + (i % half);
    const change = (rows: Float32Array, first: number) => {
      const old = new Float64Array(into);
      const turned = new Float64Array(into);
      for (let at = 0; at < rows.length; at += into) {
        const scale = s[first + at / into]!;
        for (let i = 0; i < into; i++) turned[i] = rows[at + i]!;
        // W M^T: the factor that inputs meet last comes first.
        for (let factor = 0; factor < factors; factor++) {
          for (let i = 0; i < into; i++) old[placeIn(factor, i)] = turned[i]!;
          for (let i = 0; i < into; i++) {
            const place = placeIn(factor, i);
            const block = Math.floor(place / side);
            const turn = turns[factor * blocks + block]!;
            let sum = 0;
            for (let c = 0; c < side; c++) sum += old[block * side + c]! * turn[(place % side) * side + c]!;
            turned[i] = sum;
          }
        }
        for (let i = 0; i < into; i++) rows[at + i] = scale * turned[i]!;
      }
    };
    return { weight: { change, transposed } };
  },
});
