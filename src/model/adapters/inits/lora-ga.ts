/**
 * LoRA-GA: A and B begin in the leading singular directions of the weight's gradient, so that the first steps change
 * the weight as full training would.
 *
 *   G = U S V',  A0 = c V_1..r',  B0 = c U_r+1..2r,  c = out^1/4 / sqrt(gamma)
 *
 * The first change of W is then -lr s^2 c^2 times the best approximation of G that has rank 2r. B0 A0 is taken out of
 * the base. Wang, Yu and Li, NeurIPS 2024, https://arxiv.org/abs/2407.05000; c and gamma = 16 as in the authors' code
 * and PEFT, their "ArB2r" with the scale "stable".
 */
import { type HostMatrix, hostMatrix, transposed } from "../../../tensor/linear-algebra/leading-svd.ts";
import { truncatedSvd } from "../../../tensor/linear-algebra/truncated-svd.ts";
import { measuredInit } from "../adapter-init.ts";

export const method = measuredInit({
  name: "lora-ga",
  title: "LoRA-GA",
  about: "the leading singular vectors of the weight's gradient; what they take of the weight is taken out of it",
  cite: "arXiv:2407.05000",
  options: {
    lora_ga_rows: {
      type: "number.integer >= 1",
      default: 64,
      help: "rows of the training data whose gradient is taken",
    },
    lora_ga_scale: {
      type: "'stable' | 'gd' | 'unit'",
      default: "stable",
      help: "length of A's rows and B's columns: out^1/4 / sqrt(gamma), one over the adapter's scale, or 1",
    },
    lora_ga_gamma: {
      type: "number > 0",
      default: 16,
      help: "gamma of the scale `stable`; larger: A and B are smaller",
    },
  },
  needs: "gradient",

  asks: (_, { lora_ga_rows }) => ({ rows: lora_ga_rows }),

  async begin({ measured, rank, scale, gpu, values: { lora_ga_scale, lora_ga_gamma } }) {
    const { left, right } = await truncatedSvd(measured, 2 * rank, async () => gpu);
    const lengths = { stable: measured.rows ** 0.25 / Math.sqrt(lora_ga_gamma), gd: 1 / scale, unit: 1 };
    const length = lengths[lora_ga_scale];
    const part = ({ rows, columns, values }: HostMatrix, from: number, to: number) => {
      const [first, last] = [Math.min(from, rows), Math.min(to, rows)];
      const own = values.slice(first * columns, last * columns).map((x) => x * length);
      return hostMatrix(last - first, columns, own);
    };
    return { a: part(right, 0, rank), b: transposed(part(left, rank, 2 * rank)) };
  },
});
