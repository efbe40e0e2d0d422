/**
 * ARMOR: a layer becomes A S B, S with two of every four inputs and A and B with blocks on the diagonal, found by
 * alternating steps of Adam and exact choices of single groups of four.
 *
 * ARMOR: High-Performance Semi-Structured Pruning via Adaptive Matrix Factorization, 2025,
 * https://arxiv.org/abs/2510.05528
 *
 *   W = diag(r) V diag(c)     rows and columns of V about 1 long
 *   L = sum_ij (V - A S B)_ij^2 H_jj / sum_ij V_ij^2 H_jj
 *
 * S begins as the two of four of V with the largest V_ij^2 H_jj, A and B as identities. The product with the least L is
 * the result: never worse than the beginning. A file of plain tensors cannot hold three matrices for one, so they are
 * multiplied out: the result says what ARMOR costs in quality, and has no zeros.
 */
import { UserError } from "../../../errors.ts";
import type { PooledBuffer } from "../../../gpu/buffer.ts";
import { keyedUnits } from "../../../keyed-random.ts";
import { diagonalOf } from "../../../tensor/linear-algebra/inverse-factor.ts";
import { dropMarked, markPattern } from "../../../tensor/weight-selection.ts";
import { AdamOnGpu } from "../../adam-on-gpu.ts";
import { balanced, largestDivisor } from "../../balanced.ts";
import { defineInputPruner } from "../../pruner.ts";
import { WrappedCore } from "../../wrapped-core.ts";

const PATTERN = { keep: 2, of: 4 };

/** Steps between looks at how the loss went, and the improvement that counts as none: such a stretch is the last. */
const STRETCH = 100;
const STILL = 1e-6;

export const method = defineInputPruner({
  name: "armor",
  title: "ARMOR",
  about: "2:4 core between block-diagonal factors, multiplied out: no zeros are left in the file",
  cite: "arXiv:2510.05528",
  dense: "the zeros are those of the core, between two factors that a file of plain tensors has no place for",
  options: {
    wrap: {
      type: "1 <= number.integer <= 128",
      default: 32,
      help: "side of the factors' blocks; the largest that divides a layer up to it",
    },
    rounds: { type: "number.integer >= 1", default: 3000, help: "most steps of Adam, each with a choice of groups" },
    armor_lr: { type: "number > 0", default: 1e-4, help: "learning rate of the factors and the core" },
  },

  check(target) {
    if ("share" in target || target.keep !== PATTERN.keep || target.of !== PATTERN.of)
      throw new UserError("armor chooses two of every four inputs and nothing else", "give --pattern 2:4");
  },

  async prune(layer, _target, { wrap, rounds, armor_lr: lr }) {
    const { gpu, rows, columns, weight, seed, name, signal } = layer;
    const diagonal = await diagonalOf(gpu, layer.inputs.gram);
    const { values, rowSizes, columnSizes } = balanced(await gpu.readFloats(weight.buffer, rows * columns), columns);
    let whole = 0;
    for (const [i, v] of values.entries()) whole += v * v * diagonal[i % columns]!;
    if (!(whole > 0)) return;
    using goal = gpu.upload(values, "goal");
    using importance = gpu.upload(
      Float32Array.from(diagonal, (h) => h / whole),
      "importance",
    );
    const sideB = wrap < 4 ? largestDivisor(4, wrap) : 4 * largestDivisor(columns / 4, Math.floor(wrap / 4));
    const shape = { rows, columns, sideA: largestDivisor(rows, wrap), sideB };
    using core = new WrappedCore(gpu, shape, goal, importance);
    using marks = gpu.buffer(4 * rows * columns, "marks");
    using roots = gpu.upload(diagonal.map(Math.sqrt), "roots of importance");
    const held = { gpu, rows, columns, weight: core.held("core") };
    gpu.copy(goal.buffer, 0, held.weight.buffer, 0, 4 * rows * columns);
    await markPattern(held, roots.buffer, PATTERN, marks.buffer);
    await dropMarked(held, marks.buffer);
    const key = Math.floor(keyedUnits(seed, name)() * 2 ** 32);
    using losses = gpu.buffer(4 * (STRETCH + 1), "losses");
    using adam = new AdamOnGpu(gpu, lr);
    await core.multiply();
    for (let step = 0; step < rounds; step++) {
      const place = step % STRETCH;
      await core.note(losses, place);
      await core.slopes();
      await stepOf(core, adam, marks);
      await core.multiply();
      await core.regroup(marks, { key, step });
      await core.multiply();
      if (place < STRETCH - 1) continue;
      signal.throwIfAborted();
      const seen = await gpu.readFloats(losses.buffer, STRETCH);
      if (seen.every((loss, i) => i === 0 || seen[i - 1]! - loss < STILL * seen[i - 1]!)) break;
    }
    await core.note(losses, STRETCH);
    const best = await gpu.readFloats(core.best.buffer, rows * columns);
    const result = best.map((x, i) => x * rowSizes[Math.floor(i / columns)]! * columnSizes[i % columns]!);
    gpu.write(weight.buffer, 0, new Uint8Array(result.buffer));
  },
});

/** One step of Adam on A, B and the values of S that are not 0. */
async function stepOf(core: WrappedCore, adam: AdamOnGpu, marks: PooledBuffer): Promise<void> {
  const { rows, columns } = core.shape;
  await adam.step("a", core.held("a"), core.held("slopesA"));
  await adam.step("b", core.held("b"), core.held("slopesB"));
  const values = core.held("core");
  await adam.step("core", values, core.held("slopesCore"));
  // What Adam knows of a value that is 0 moves it, too.
  await dropMarked({ gpu: adam.gpu, rows, columns, weight: values }, marks.buffer);
}
