/** What a pruner is: it sets weights of one linear layer to zero, and may change those that are left. */
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Sparsity } from "../tensor/weight-selection.ts";
import type { Layer, MeasuredLayer } from "./layer.ts";

export type { Sparsity };

/** What a pruner learns of all matrices before the first of them is pruned. */
export interface Survey {
  /** How often it sees them. */
  readonly passes: number;
  /** Hears the weights of one matrix; in every pass of all, in one order. */
  see(values: Float32Array): void;
  /** A pass is over. */
  next(): void;
  /** After the last pass: the share of each matrix that goes. */
  shares(): number[];
}

interface Shared<O extends Options> extends MethodInfo<O> {
  /** Why the weights that go are not 0 in the result: what holds the zeros is multiplied out. */
  readonly dense?: string;
  /** Refuses what it cannot do. Throws UserError. */
  check?(target: Sparsity, values: Values<O>): void;
  /** Where the share of a matrix hangs on all of them: undefined where it does not under these values. */
  survey?(target: Sparsity, values: Values<O>): Survey | undefined;
}

export interface WeightPruner<O extends Options = Options> extends Shared<O> {
  readonly needs: "weights";
  /** Changes the layer's weight in place; weights that go are exactly 0, but in `dense` ones. */
  prune(layer: Layer, target: Sparsity, values: Values<O>): Promise<void>;
}

export interface InputPruner<O extends Options = Options> extends Shared<O> {
  readonly needs: "inputs";
  /** The same, by what the layer reads. */
  prune(layer: MeasuredLayer, target: Sparsity, values: Values<O>): Promise<void>;
}

export type Pruner = WeightPruner | InputPruner;

export const defineWeightPruner = <const O extends Options>(
  method: Omit<WeightPruner<O>, "needs">,
): WeightPruner<O> => ({ needs: "weights", ...method });

export const defineInputPruner = <const O extends Options>(method: Omit<InputPruner<O>, "needs">): InputPruner<O> => ({
  needs: "inputs",
  ...method,
});

declare module "../method/registry.ts" {
  interface Contracts {
    pruner: Pruner;
  }
}
