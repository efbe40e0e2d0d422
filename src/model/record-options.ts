/** What a forward pass is recorded with. */
import type { RoutePlan } from "../tensor/ops/router.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Net } from "./architecture.ts";
import type { Depth } from "./depth.ts";

export interface RecordOptions {
  readonly recompute?: boolean;
  /** What batch norms go by; "batch", which the running ones follow, in training without an adapter alone. */
  readonly statistics?: Net["statistics"];
  /** false: the base alone, as the model was before its adapter. */
  readonly adapter?: boolean;
  /** Whether `increments` are recorded: another product of every adapted layer. */
  readonly increments?: boolean;
  /** Gives the tensor that takes the place of a noted one. */
  readonly replace?: (name: string, x: Tensor) => Tensor;
  /** Hears what every linear layer reads, (N, in), and what stacks of experts do, with their plan. */
  readonly observe?: (module: string, x: Tensor, plan?: RoutePlan) => void;
  /** Gives what a linear layer reads in the place of (N, in), which `observe` then hears. */
  readonly reads?: (module: string, x: Tensor) => Tensor;
  /** Tensors in the place of weights, by name. */
  readonly weights?: ReadonlyMap<string, Tensor>;
  /** Which layers run, and how often; each once when left out. */
  readonly depth?: Depth | undefined;
  /** The experts that every token takes, by rank: 0 is its likeliest one; those of the config when left out. */
  readonly ranks?: readonly number[] | undefined;
}
