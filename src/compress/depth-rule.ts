/** What a depth rule is: it says which layers of a stack stay. A file of methods/depth/ is one. */
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";

/** What rows say of the layers of a model, for rules that read some. */
export interface LayerMeasure {
  /** 1 - mean cosine of every layer's input and output. */
  influences(): Promise<readonly number[]>;
  /** Mean loss, in nats, where only these layers run. */
  loss(kept: readonly number[]): Promise<number>;
}

/** How many layers of how many stay. */
export interface DepthTarget {
  readonly layers: number;
  readonly keep: number;
}

export interface PlainDepthRule<O extends Options = Options> extends MethodInfo<O> {
  readonly needs: "nothing";
  /** Rising numbers of the layers that stay. Throws UserError for a target that it cannot reach. */
  choose(target: DepthTarget, values: Values<O>): readonly number[];
}

export interface MeasuredDepthRule<O extends Options = Options> extends MethodInfo<O> {
  readonly needs: "rows";
  /** The same, by what rows say. */
  choose(target: DepthTarget, values: Values<O>, measure: LayerMeasure): Promise<readonly number[]>;
}

export type DepthRule = PlainDepthRule | MeasuredDepthRule;

export const definePlainDepthRule = <const O extends Options>(method: Omit<PlainDepthRule<O>, "needs">): DepthRule => ({
  needs: "nothing",
  ...method,
});

export const defineMeasuredDepthRule = <const O extends Options>(
  method: Omit<MeasuredDepthRule<O>, "needs">,
): DepthRule => ({ needs: "rows", ...method });

/** 0, 1, ... below `count`. */
export const layersBelow = (count: number): number[] => Array.from({ length: count }, (_, layer) => layer);

declare module "../method/registry.ts" {
  interface Contracts {
    "depth-rule": DepthRule;
  }
}
