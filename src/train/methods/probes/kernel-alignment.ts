/**
 * Whether a model still learns by the kernel it began with (lazy) or makes features (rich): the alignment of its
 * tangent kernel with the labels, and how far the kernel has moved since the first look. Kumar et al., Grokking as the
 * Transition from Lazy to Rich Training Dynamics, ICLR 2024, https://arxiv.org/abs/2310.06110. Warns where training
 * looks done and is not: rows are fitted, held-out rows are not, and features still move.
 */
import { UserError } from "../../../errors.ts";
import { isObject } from "../../../json.ts";
import { KernelSketch, movement } from "../../../run/probing/kernel-sketch.ts";
import { ProbeLoss } from "../../../run/probing/probe-loss.ts";
import { meanOfGroups } from "../../../run/training/held-out.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW } from "../../training-probe.ts";

/** Of the loss of guessing: what is fitted, and what is not. */
const [FITTED, OPEN] = [0.1, 0.5];
/** Of the held-out loss, and of the kernel: what a change is. */
const STILL = 0.05;
const MOVES = 0.01;

/** What is known of a look, for the alarm. */
interface Known {
  readonly train: number;
  readonly held: number;
}

/** Whether rows are fitted and held-out rows are not, though features move. `chance` is the loss of guessing. */
export const isGrokking = (now: Known, before: Known | undefined, moved: number, chance: number): boolean =>
  before !== undefined &&
  now.train < FITTED * chance &&
  now.held > OPEN * chance &&
  Math.abs(now.held - before.held) < STILL * before.held &&
  moved > MOVES;

const columnsOf = (state: unknown): Float64Array[] | undefined =>
  Array.isArray(state) && state.every((column) => Array.isArray(column) && column.every((x) => typeof x === "number"))
    ? state.map((column) => Float64Array.from(column))
    : undefined;

export const method = defineTrainingProbe({
  name: "kernel-alignment",
  title: "Kernel alignment",
  about: "alignment of the tangent kernel with the labels, and how far it moved: lazy or rich",
  cite: "arXiv:2310.06110",
  options: {
    kernel_alignment_rows: {
      type: "number.integer >= 1",
      default: 16,
      decides: "nothing",
      help: "rows of the probe whose outputs the kernel is of",
      value: "N",
    },
    kernel_alignment_columns: {
      type: "number.integer >= 1",
      default: 32,
      decides: "nothing",
      help: "products with the kernel; where there are fewer outputs it is exact, else its norm is an estimate",
      value: "N",
    },
  },
  laws: EVERY_PROBE_LAW,

  async begin({ model, batches, seed, values }) {
    const { kernel_alignment_rows: rows, kernel_alignment_columns: columns } = values;
    const loss = await ProbeLoss.make(model, batches);
    const sketch = await KernelSketch.make(model, batches, { rows, columns, seed });
    const chance = Math.log(model.sizes.outputs);
    let first: readonly Float64Array[] | undefined;
    let last: readonly Float64Array[] | undefined;
    let known: Known | undefined;
    return {
      bytes: loss.bytes + sketch.bytes,
      async look(_, held) {
        const { products, alignment, size } = await sketch.measure();
        const train = await loss.gradients();
        first ??= products;
        const step = last ? movement(last, products) : 0;
        const now = held ? { train, held: meanOfGroups(await held()) } : undefined;
        const warnings =
          now && isGrokking(now, known, step, chance)
            ? [
                "rows are fitted, held-out rows are not, and the kernel still moves: training further may make them fit, too (grokking)",
              ]
            : [];
        last = products;
        known = now;
        return { numbers: { loss: train, alignment, size, movement: movement(first, products) }, warnings };
      },
      state: () => ({
        first: (first ?? []).map((column) => [...column]),
        last: (last ?? []).map((column) => [...column]),
        held: known ? [known.train, known.held] : [],
      }),
      load(state) {
        const [a, b] = isObject(state) ? [columnsOf(state.first), columnsOf(state.last)] : [];
        if (!isObject(state) || !a || !b)
          throw new UserError("the saved state of the probe kernel-alignment is damaged", "start anew");
        [first, last] = [a.length > 0 ? a : undefined, b.length > 0 ? b : undefined];
        const [train, before] = Array.isArray(state.held) ? state.held : [];
        known = typeof train === "number" && typeof before === "number" ? { train, held: before } : undefined;
      },
      free() {
        loss.free();
        sketch.free();
      },
    };
  },
});
