/**
 * Projections of the gradient of new rows against those of old ones, so that no step goes uphill on what is remembered:
 * the parts of an objective but the first are memories.
 *
 *   A-GEM  one memory m: where <g, m> < 0, g <- g - <g, m> / <m, m> m
 *          Chaudhry et al., ICLR 2019, https://arxiv.org/abs/1812.00420
 *   GEM    one of each task, rows of G: where any <g, G_k> < 0, g <- g + G' v with v the minimum of
 *          1/2 v' G G' v + (G g)' v over v >= margin
 *          Lopez-Paz and Ranzato, NeurIPS 2017, https://arxiv.org/abs/1706.08840, equations 11 and 12
 *
 * A-GEM reads nothing back; GEM waits for its products at every step, and solves its small problem in f64 on the host.
 * GPU memory: a copy of the gradients for each memory.
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { clamp, div, neg } from "../../../tensor/ops/elementwise.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { Programs } from "../../programs.ts";
import type { PassOptions, UpdateRule } from "../update-rule.ts";
import { GradientCopies, recordAddTimes, recordDot } from "./gradient-copies.ts";

/** Largest finite f32, and the smallest that a length is divided by. */
const [MOST, LEAST] = [3.4e38, 1e-30];

type PartPass = (part: string, options: PassOptions) => Promise<void>;

/** What both have: the gradient of new rows stands in the gradients, those of memories are put aside. */
abstract class MemoryProjection implements UpdateRule {
  abstract readonly name: string;
  protected readonly copies: GradientCopies;
  protected readonly programs: Programs;

  constructor(gpu: Gpu, parameters: readonly Parameter[], memories: readonly string[]) {
    this.copies = new GradientCopies(gpu, parameters);
    this.programs = new Programs(gpu);
    for (const memory of memories) this.copies.reserve(memory);
  }

  get bytes(): number {
    return this.copies.bytes;
  }

  /** Throws RangeError without a memory. */
  async combine(_: number, [fresh, ...memories]: readonly string[], pass: PartPass): Promise<void> {
    if (fresh === undefined || memories.length === 0)
      throw new RangeError(`${this.name} needs a part of new rows, and memories`);
    for (const memory of memories) {
      await pass(memory, { fresh: true, report: true });
      this.copies.keep(memory);
    }
    await pass(fresh, { fresh: true, report: true });
    await this.project(memories);
  }

  protected abstract project(memories: readonly string[]): Promise<void>;

  free(): void {
    this.programs.free();
    this.copies.free();
  }
}

/** A-GEM. All memories but the first are refused: average them in one part. */
export class AveragedProjection extends MemoryProjection {
  readonly name = "a-gem";

  protected async project([memory, ...more]: readonly string[]): Promise<void> {
    if (more.length > 0) throw new RangeError("a-gem has one memory");
    const { program } = await this.programs.get("project", (rec) => {
      const [g, m] = [this.copies.record(rec), this.copies.record(rec, memory)];
      const uphill = clamp(rec, recordDot(rec, g, m), -MOST, 0); // (1)
      const factor = neg(rec, div(rec, uphill, clamp(rec, recordDot(rec, m, m), LEAST, MOST)));
      recordAddTimes(rec, m, factor, g);
    });
    program.run();
  }
}

/** GEM. */
export class TaskProjection extends MemoryProjection {
  readonly name = "gem";
  readonly #gpu: Gpu;
  readonly #margin: number;

  constructor(gpu: Gpu, parameters: readonly Parameter[], memories: readonly string[], margin: number) {
    super(gpu, parameters, memories);
    this.#gpu = gpu;
    this.#margin = margin;
  }

  protected async project(memories: readonly string[]): Promise<void> {
    const names = [undefined, ...memories];
    const { program: products } = await this.programs.get(`products ${memories.join()}`, (rec) => {
      const all = names.map((name) => this.copies.record(rec, name));
      for (const [i, a] of all.entries())
        for (const [k, b] of all.slice(0, i + 1).entries()) if (i > 0) rec.output(`${i} ${k}`, recordDot(rec, a, b));
    });
    const { program } = await this.programs.get(`project ${memories.join()}`, (rec) => {
      const g = this.copies.record(rec);
      for (const memory of memories) {
        const factor = rec.input(`factor of ${memory}`, [1]);
        recordAddTimes(rec, this.copies.record(rec, memory), factor, g);
      }
    });
    products.run();
    if (this.#gpu.dry) return;
    const product = async (i: number, k: number) => (await products.read(`${Math.max(i, k)} ${Math.min(i, k)}`))[0]!;
    const own = await Promise.all(memories.map((_, k) => product(k + 1, 0)));
    if (own.every((x) => x >= 0) || own.some((x) => !Number.isFinite(x))) return;
    const gram = await Promise.all(memories.map((_, i) => Promise.all(memories.map((_, k) => product(i + 1, k + 1)))));
    const v = boundedQuadratic(gram, own, this.#margin);
    for (const [k, memory] of memories.entries()) program.write(`factor of ${memory}`, Float32Array.of(v[k]!));
    program.run();
  }
}

/**
 * The v >= least that minimises 1/2 v' P v + q' v, by cyclic coordinate descent in f64. P is symmetric and positive
 * semi-definite; a row of zeros stays at the least.
 */
export function boundedQuadratic(p: readonly (readonly number[])[], q: readonly number[], least: number): number[] {
  const v = q.map(() => least);
  const size = Math.max(1e-300, ...q.map(Math.abs));
  for (let sweep = 0; sweep < 10_000; sweep++) {
    let moved = 0;
    for (const [i, row] of p.entries()) {
      if (!(row[i]! > 0)) continue;
      const slope = row.reduce((sum, x, k) => sum + x * v[k]!, q[i]!);
      const next = Math.max(least, v[i]! - slope / row[i]!);
      moved = Math.max(moved, Math.abs(next - v[i]!) * row[i]!);
      v[i] = next;
    }
    if (moved <= 1e-12 * size) break;
  }
  return v;
}
