/**
 * Weights that go back to where they were, some of them: each by chance (CoTTA, Wang et al., CVPR 2022), or those whose
 * gradients are small (PSMT, Tian and Lyu, ECCV 2024). A weight that stays, stays bit by bit.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import { dropout } from "../../tensor/ops/dropout.ts";
import { abs, add, addScalar, isPositive, mul, neg } from "../../tensor/ops/elementwise.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { dynamic, type Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import { Programs } from "../programs.ts";

/** Copies a tensor into memory that stays. */
function store(rec: Recorder, x: Tensor, y: Tensor): void {
  const n = sizeOf(x.shape);
  const groups = spanGroups(Math.ceil(n / 4));
  rec.step({ kernel: "recorder/add-into", bind: { x, y }, params: { n, accumulate: 0 }, groups });
}

/** `back` is 1 where a weight takes the place of the one at `home`, 0 where it stays. */
function restored(rec: Recorder, weight: Tensor, home: Tensor, back: Tensor): Tensor {
  const stays = addScalar(rec, neg(rec, back), 1);
  return add(rec, mul(rec, stays, weight), mul(rec, back, home));
}

const stateOf = (rec: Recorder, { name, shape, buffer }: Parameter): Tensor => rec.state(name, shape, buffer);

export class Restoring {
  readonly #programs: Programs;
  readonly #homes: ReadonlyMap<Parameter, Parameter>;

  /** `homes`: where every weight may go back to. */
  constructor(gpu: Gpu, homes: ReadonlyMap<Parameter, Parameter>) {
    this.#programs = new Programs(gpu, { training: true }); // dropout is the identity elsewhere
    this.#homes = homes;
  }

  /** Every value goes back with the probability `rate`; which ones follows from `seed` and the weights' names. */
  async byChance(rate: number, seed: number): Promise<void> {
    if (rate === 0) return;
    const { program } = await this.#programs.get(`by chance ${rate}`, (rec) => {
      for (const [weight, home] of this.#homes) {
        const [own, before] = [stateOf(rec, weight), stateOf(rec, home)];
        const ones = rec.constant(new Float32Array(weight.size).fill(1), weight.shape, "ones");
        const kept = isPositive(rec, rate === 1 ? neg(rec, ones) : dropout(rec, ones, { p: rate, key: weight.name }));
        store(rec, restored(rec, own, before, addScalar(rec, neg(rec, kept), 1)), own);
      }
    });
    program.run({ seed });
  }

  /**
   * Every value whose gradient is of less magnitude than `least` goes back, and so does its copy at `beside`. Gradients
   * are those of the last step.
   */
  async bySmallGradient(least: number, beside: ReadonlyMap<Parameter, Parameter>): Promise<void> {
    const { program } = await this.#programs.get("by small gradient", (rec) => {
      for (const [weight, home] of this.#homes) {
        const [own, before] = [stateOf(rec, weight), stateOf(rec, home)];
        const gradient = rec.state(`gradient of ${weight.name}`, weight.shape, weight.gradient);
        const back = isPositive(rec, addScalar(rec, neg(rec, abs(rec, gradient)), dynamic("least")));
        const copy = beside.get(weight);
        if (copy) {
          const other = stateOf(rec, copy);
          store(rec, restored(rec, other, before, back), other);
        }
        store(rec, restored(rec, own, before, back), own);
      }
    });
    program.run({ least, seed: 0 });
  }

  free(): void {
    this.#programs.free();
  }
}

/** The magnitude that a share `q` of all gradients of the last step are below. Reads them all: 4 bytes a weight. */
export async function gradientQuantile(gpu: Gpu, parameters: Iterable<Parameter>, q: number): Promise<number> {
  if (q === 0) return 0;
  const parts: Float32Array[] = [];
  for (const { gradient, size } of parameters) parts.push(await gpu.readFloats(gradient, size));
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    for (const g of part) all[at++] = Math.abs(g);
  }
  all.sort();
  return all[Math.min(all.length - 1, Math.floor(q * all.length))]!;
}
