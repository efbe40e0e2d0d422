/**
 * A penalty on inner products between some rows of matrices and the rows before them:
 *
 *   lambda sum over matrices ||A_old A_new'||_F^2,  gradient of A_new  2 lambda A_new A_old' A_old
 *
 * O-LoRA, Wang et al., EMNLP Findings 2023, https://arxiv.org/abs/2310.14152
 */
import type { Gpu } from "../../../gpu/gpu.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { Programs } from "../../programs.ts";
import { recordAddScaled } from "../add-scaled.ts";
import type { UpdateRule } from "../update-rule.ts";

/** Rows [first, end) of every matrix, against rows [0, first). */
export interface NewRows {
  readonly first: number;
  readonly end: number;
}

export class RowOrthogonality implements UpdateRule {
  readonly name = "orthogonality";
  readonly #matrices: readonly Parameter[];
  readonly #rows: NewRows;
  readonly #weight: number;
  readonly #programs: Programs;

  /** Matrices (rows, columns) in f32. */
  constructor(gpu: Gpu, matrices: readonly Parameter[], rows: NewRows, weight: number) {
    this.#programs = new Programs(gpu);
    this.#matrices = matrices;
    this.#rows = rows;
    this.#weight = weight;
  }

  async before(): Promise<void> {
    const { first, end } = this.#rows;
    if (this.#weight === 0 || first === 0) return;
    const { program } = await this.#programs.get("pull", (rec) => {
      for (const { name, shape, buffer, gradient } of this.#matrices) {
        const r = shape[0]!;
        const a = rec.state(name, shape, buffer);
        // 1 where a new row meets an old one.
        const meets = Float32Array.from({ length: r * r }, (_, i) => {
          const [row, column] = [Math.floor(i / r), i % r];
          return first <= row && row < end && column < first ? 1 : 0;
        });
        const products = mul(rec, linear(rec, a, a), rec.constant(meets, [r, r], `pairs of rows of ${name}`)); // (r, r)
        const pull = linear(rec, products, a, { transposed: true }); // (r, columns)
        recordAddScaled(rec, pull, rec.state(`gradient of ${name}`, shape, gradient));
      }
    });
    program.run({ a: 2 * this.#weight, b: 1 });
  }

  free(): void {
    this.#programs.free();
  }
}
