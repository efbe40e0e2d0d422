/**
 * What a corruption is: a way in which inputs get worse, at five severities. Every file of data/corruptions exports one
 * as `method`: `data corrupt --corruption gaussian-noise`. Values lie between 0 and 1 while they are corrupted, and are
 * cut off there afterwards.
 */
import type { Options } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Random } from "../random.ts";

/** Channels, height, width. */
export type ImageShape = readonly [channels: number, height: number, width: number];

export interface Corruption<O extends Options = Options> extends MethodInfo<O> {
  /** How much of it, at severity 1 to 5. */
  readonly amounts: readonly [number, number, number, number, number];
  /** Of numbers in any order, (n). */
  numbers?(x: readonly number[], amount: number, random: Random): number[];
  /** Of pixels, (C, H, W). */
  image?(
    x: readonly number[],
    amount: number,
    given: { readonly shape: ImageShape; readonly random: Random },
  ): number[];
  /** Of the words of a text, or none. */
  words?(words: readonly string[], amount: number, given: { readonly mask: string; readonly random: Random }): string[];
}

export const defineCorruption = (corruption: Omit<Corruption, "options">): Corruption => ({
  ...corruption,
  options: {},
});

declare module "../../method/registry.ts" {
  interface Contracts {
    corruption: Corruption;
  }
}
