/**
 * Which client has which row. A partition depends on the seed and on the rows alone.
 *
 *   even       rows shuffled and dealt out
 *   dirichlet  the rows of every class dealt out by shares from a Dirichlet distribution of concentration alpha: small
 *              alphas give each client few classes, and numbers of rows that differ
 *
 * Hsu, Qi and Brown, 2019, https://arxiv.org/abs/1909.06335 partition so. A draw that leaves a client without rows is
 * drawn again.
 */
import { Random } from "../../data/random.ts";
import { permutation } from "../../data/shuffle.ts";
import { UserError } from "../../errors.ts";

/** Draws before a partition is given up. */
const DRAWS = 1000;

/** Client of every row, from 0. */
export function evenParts(rows: number, clients: number, seed: number): Int32Array {
  if (rows < clients)
    throw new UserError(`${rows} rows are too few for ${clients} clients`, "lower --clients, or give more rows");
  const owner = new Int32Array(rows);
  for (const [i, row] of permutation(rows, seed, 0, "rows of clients").entries()) owner[row] = i % clients;
  return owner;
}

/**
 * Client of every row, from the class of each. Throws UserError where some client has no row in a thousand draws.
 */
export function dirichletParts(
  classes: readonly number[],
  { clients, alpha, seed }: { readonly clients: number; readonly alpha: number; readonly seed: number },
): Int32Array {
  evenParts(classes.length, clients, seed); // refuses too few rows
  const order = permutation(classes.length, seed, 0, "rows of clients");
  const known = [...new Set(classes)].sort((a, b) => a - b);
  for (let draw = 0; draw < DRAWS; draw++) {
    const owner = new Int32Array(classes.length);
    for (const each of known) {
      const own = [...order].filter((row) => classes[row] === each);
      const ends = cumulated(dirichlet(clients, alpha, seed, `class ${each}, draw ${draw}`), own.length);
      for (const [i, row] of own.entries()) owner[row] = ends.findIndex((end) => i < end);
    }
    if (new Set(owner).size === clients) return owner;
  }
  throw new UserError(
    `--client-alpha ${alpha} leaves some of ${clients} clients without a row`,
    "raise --client-alpha, lower --clients, or give more rows",
  );
}

/** Where the rows of each client end, of `count` rows shared out so. */
function cumulated(shares: readonly number[], count: number): number[] {
  let sum = 0;
  const ends = shares.map((share) => {
    sum += share;
    return Math.round(sum * count);
  });
  return [...ends.slice(0, -1), count];
}

/** Shares of a symmetric Dirichlet distribution. */
export function dirichlet(count: number, alpha: number, seed: number, name: string): number[] {
  const random = new Random(seed, "shares of clients", name);
  const logs = Array.from({ length: count }, () => random.logGamma(alpha));
  const most = Math.max(...logs);
  const weights = logs.map((log) => Math.exp(log - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}
