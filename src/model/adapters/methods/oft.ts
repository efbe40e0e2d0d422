/**
 * OFT: what a layer reads is turned, block by block, y = W (x R) with R = (I + Q)(I - Q)^-1 of a learnt skew matrix Q.
 *
 * Qiu et al., NeurIPS 2023, https://arxiv.org/abs/2306.07280; the form of OFTv2, https://arxiv.org/abs/2506.19847, and
 * of PEFT from 0.16 on (peft/tuners/oft): the input is turned and not the weight, what is learnt are the entries of Q
 * above its diagonal, row by row, and the inverse is a power series that is cut off. Files that PEFT made with the
 * exact inverse, there of (I - Q)(I + Q)^-1, are trained further with it. Older versions hold whole blocks (oft_r), and
 * are refused.
 *
 * With `--oft-constrained` (PEFT's coft) no block's Q is longer than eps / sqrt(blocks that are learnt), by the
 * Frobenius norm: longer ones are cut to it. Here the gradient goes through the cut; PEFT cuts what is learnt, before
 * every pass.
 */
import { UserError } from "../../../errors.ts";
import type { Values } from "../../../method/options.ts";
import { timesBlocks } from "../../../tensor/ops/blocks.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { adapterType } from "../declared.ts";
import {
  cayley,
  cayleyOnHost,
  entriesAbove,
  neumannCayley,
  neumannOnHost,
  skew,
  skewOnHost,
  withinLength,
} from "../rotations.ts";
import { refuseSet } from "../settings.ts";

const OPTIONS = {
  oft_block_size: {
    type: "number.integer >= 0",
    default: 32,
    help: "side of a block, or the nearest that divides the inputs; 0 where --oft-blocks says it",
    value: "N",
  },
  oft_blocks: {
    type: "number.integer >= 0",
    default: 0,
    help: "blocks of every layer, in place of their side",
    value: "N",
  },
  oft_block_share: { type: "boolean", default: false, help: "all blocks of a layer turn alike" },
  oft_terms: { type: "number.integer >= 1", default: 5, help: "terms of the power series", value: "N" },
  oft_constrained: { type: "boolean", default: false, help: "keep every block near no turn at all (COFT)" },
  oft_eps: {
    type: "number > 0",
    default: 6e-5,
    help: "how far, over the root of the number of blocks; with --oft-constrained",
    value: "E",
  },
} as const;

/** The divisor of `size` nearest to a number, the lower of two. */
function nearestDivisor(size: number, wanted: number): number {
  if (wanted >= size) return size;
  const divisors = Array.from({ length: size }, (_, i) => i + 1).filter((d) => size % d === 0);
  return divisors.reduce((best, d) => (Math.abs(d - wanted) < Math.abs(best - wanted) ? d : best));
}

/** Blocks of a layer, and their side. */
function blocksOf(into: number, values: Values<typeof OPTIONS>, where: string) {
  const { oft_block_size: side, oft_blocks: count } = values;
  if ((side === 0) === (count === 0))
    throw new UserError(
      `${where}: a side of ${side} and ${count} blocks do not say how inputs are cut`,
      "give one of them, and 0 for the other",
    );
  if (count === 0) {
    const own = nearestDivisor(into, side);
    return { blocks: into / own, side: own };
  }
  const own = nearestDivisor(into, count);
  return { blocks: own, side: into / own };
}

/** The longest that a block's Q may be; undefined where it may be of any length. */
const limitOf = (values: Values<typeof OPTIONS>, blocks: number): number | undefined =>
  values.oft_constrained ? values.oft_eps / Math.sqrt(blocks) : undefined;

const isExact = (json: Readonly<Record<string, unknown>> | undefined) => json?.use_cayley_neumann === false;

export const method = adapterType({
  name: "oft",
  title: "OFT",
  about: "turns what a layer reads by learnt rotations of blocks",
  cite: "arXiv:2306.07280",
  options: OPTIONS,
  peftType: "OFT",
  takes: ["linear"],
  fanInFanOut: true,
  parts: ["oft_R.weight"],
  keys: {
    ...{ oft_blocks: "r", oft_block_share: "block_share", oft_terms: "num_cayley_neumann_terms" },
    ...{ oft_constrained: "coft", oft_eps: "eps" },
  },
  config: () => ({ bias: "none", init_weights: true, module_dropout: 0, use_cayley_neumann: true }),
  check(json, where) {
    refuseSet(json, where, ["rank_pattern", "alpha_pattern"]);
    if (typeof json.use_cayley_neumann !== "boolean")
      throw new UserError(
        `${where} does not say how its rotations are made (use_cayley_neumann), as older versions of PEFT did not`,
        "merge it into its base with the PEFT that made it",
      );
  },
  tensors({ into }, { values, where }) {
    const { blocks, side } = blocksOf(into, values, where);
    const shape = [values.oft_block_share ? 1 : blocks, entriesAbove(side)];
    return { "oft_R.weight": { shape, begins: "zeros" } };
  },
  linear(layer, x) {
    const { rec, target, values } = layer;
    const { blocks, side } = blocksOf(target.into, values, target.module);
    const entries = layer.tensor("oft_R.weight");
    const limit = limitOf(values, entries.shape[0]!);
    const q = skew(rec, limit === undefined ? entries : withinLength(rec, entries, limit), side);
    const turns = isExact(layer.json) ? cayley(rec, q) : neumannCayley(rec, q, values.oft_terms);
    if (!values.oft_block_share) return layer.whole(timesBlocks(rec, x, turns));
    const rows = rec.reshape(x, [x.shape[0]! * blocks, side]);
    const turned = linear(rec, rows, rec.reshape(turns, [side, side]), { transposed: true });
    return layer.whole(rec.reshape(turned, x.shape));
  },
  fold({ into, transposed, tensor, module }, { values, json }) {
    const { blocks, side } = blocksOf(into, values, module);
    const entries = tensor("oft_R.weight").values;
    const own = entriesAbove(side);
    const learnt = values.oft_block_share ? 1 : blocks;
    const turns = Array.from({ length: learnt }, (_, e) => {
      const q = skewOnHost(entries.subarray(e * own, (e + 1) * own), side, limitOf(values, learnt));
      return isExact(json) ? cayleyOnHost(q, side) : neumannOnHost(q, side, values.oft_terms);
    });
    const change = (rows: Float32Array) => {
      const old = new Float64Array(side);
      for (let at = 0; at < rows.length; at += side) {
        const turn = turns[Math.floor((at % into) / side) % turns.length]!;
        old.set(rows.subarray(at, at + side));
        for (let k = 0; k < side; k++) {
          let sum = 0;
          for (let c = 0; c < side; c++) sum += old[c]! * turn[k * side + c]!;
          rows[at + k] = sum;
        }
      }
    };
    return { weight: { change, transposed } };
  },
});
