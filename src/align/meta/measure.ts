/** Means at the end of lifetimes that no search has lived: keys from 2^30 on, the same for all. */
import type { Form, Rival } from "./form.ts";

export interface Tested {
  readonly lengths: readonly number[];
  readonly lives: number;
}

export interface Measured {
  readonly mean: number;
  /** Standard error over lifetimes. */
  readonly error: number;
}

export function measure(live: Rival["live"], { lengths, lives }: Tested): Measured {
  const all = lengths.flatMap((length) => Array.from({ length: lives }, (_, i) => live(length, 2 ** 30 + i)));
  const mean = all.reduce((sum, x) => sum + x, 0) / all.length;
  const variance = all.reduce((sum, x) => sum + (x - mean) ** 2, 0) / all.length;
  return { mean, error: Math.sqrt(variance / all.length) };
}

/** The best of the constants, chosen on the very lifetimes that are told: what a search has to beat. */
export function best({ constants }: Form, test: Tested): Measured & { readonly name: string } {
  const tried = constants.map(({ name, live }) => ({ name, ...measure(live, test) }));
  return tried.reduce((a, b) => (b.mean > a.mean ? b : a));
}
