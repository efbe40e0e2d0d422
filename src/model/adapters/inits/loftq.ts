/**
 * LoftQ: the base is rounded to NF4, and the adapter begins with what makes up for it.
 *
 *   Q_t = nf4(W - s B_t-1 A_t-1),  s B_t A_t = the best approximation of W - Q_t of the rank,  t = 1 ... T
 *
 * Li et al., ICLR 2024, https://arxiv.org/abs/2310.08659. The round with the least error is kept, since rounding does
 * not always lessen it. Q_1 is what bitsandbytes makes of W when it loads the base in 4 bits; Q_t of later rounds is a
 * base of its own, of values that NF4 holds exactly.
 */
import { UserError } from "../../../errors.ts";
import { type HostMatrix, hostMatrix, transposed } from "../../../tensor/linear-algebra/leading-svd.ts";
import { truncatedSvd } from "../../../tensor/linear-algebra/truncated-svd.ts";
import { adapterInit, type BegunFactors, type InitJob } from "../adapter-init.ts";
import { roundedToNf4 } from "../nf4.ts";

/** s B A with the values of W, into `into`. */
function addProduct(into: Float32Array, { a, b }: { a: HostMatrix; b: HostMatrix }, factor: number): void {
  for (let o = 0; o < b.rows; o++)
    for (let k = 0; k < a.rows; k++) {
      const x = factor * b.values[o * a.rows + k]!;
      for (let i = 0; i < a.columns; i++) into[o * a.columns + i]! += x * a.values[k * a.columns + i]!;
    }
}

/** A and B of the best approximation of a matrix, over s. */
async function approximation(values: Float32Array, { weight, rank, scale, gpu }: InitJob<unknown>) {
  const { s, left, right } = await truncatedSvd({ ...weight, values }, rank, async () => gpu);
  const rooted = ({ rows, columns, values: vectors }: HostMatrix) =>
    hostMatrix(
      rows,
      columns,
      vectors.map((x, i) => x * Math.sqrt(s[Math.floor(i / columns)]! / scale)),
    );
  return { a: rooted(right), b: transposed(rooted(left)) };
}

const squares = (values: Float32Array) => values.reduce((sum, x) => sum + x * x, 0);

/** So many rounds, and the error of the best of them: ||W - Q - s B A||. */
export async function alternated(
  job: InitJob<unknown>,
  rounds: number,
): Promise<BegunFactors & { readonly rounded: Float32Array; readonly error: number }> {
  const w = Float32Array.from(job.weight.values);
  let target = w;
  let best: (BegunFactors & { readonly rounded: Float32Array; readonly error: number }) | undefined;
  for (let round = 0; round < rounds; round++) {
    const rounded = roundedToNf4(target);
    const rest = w.map((x, i) => x - rounded[i]!);
    const factors = await approximation(rest, job);
    addProduct(rest, factors, -job.scale);
    const error = Math.sqrt(squares(rest));
    if (!best || error < best.error) best = { ...factors, rounded, error };
    // W - s B A is what is left, and what was rounded.
    target = rounded.map((x, i) => x + rest[i]!);
  }
  return best!;
}

export const method = adapterInit({
  name: "loftq",
  title: "LoftQ",
  about: "the base is rounded to NF4, and the adapter begins with the best approximation of what is lost",
  cite: "arXiv:2310.08659",
  options: {
    loftq_rounds: {
      type: "number.integer >= 1",
      default: 1,
      help: "rounds of rounding and approximation; more than one needs --loftq-base",
    },
    loftq_base: {
      type: "string",
      writes: "checkpoint",
      help: "write the rounded base, which the adapter goes with",
      value: "DIR",
    },
  },
  takesOut: false,
  rounding: {
    base({ loftq_rounds, loftq_base }) {
      if (loftq_rounds > 1 && loftq_base === undefined)
        throw new UserError(
          `--loftq-rounds ${loftq_rounds} rounds to another base than the one that is there`,
          "give --loftq-base DIR, where it is written, or leave --loftq-rounds out",
        );
      return loftq_base;
    },
    said: "the base as bitsandbytes loads it in 4 bits (NF4, blocks of 64); on the base itself it is off by the rounding",
  },

  begin: ({ values: { loftq_rounds }, ...job }) => alternated({ ...job, values: undefined }, loftq_rounds),
});
