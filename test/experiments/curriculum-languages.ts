/** Languages that share their symbols, for experiments with stages. */
import { decoder, type Lab, Language, type Row } from "./curriculum-lab.ts";

export const SHARED = decoder({ hidden_size: 32, intermediate_size: 64, vocab_size: 32 });
export const RUN = "--batch-size 16 --lr 0.01 --warmup 10";

/** Options for languages over the same 16 symbols, each row headed by a token of its own. */
export function sharing(lab: Lab, names: readonly string[], rows: number, held: number, seed: number): string {
  const made = names.map((_, i) => new Language({ seed: 10 * seed + i, size: 16, sharpness: 12 }));
  const of = (count: number, first: number): Record<string, Row[]> =>
    Object.fromEntries(names.map((name, i) => [name, made[i]!.rows(count, first + i, { prefix: [20 + i] })]));
  return lab.groups(of(rows, 100 * seed), of(held, 100 * seed + 50));
}
