/** One step of a recording, and the numbers that it takes. */
import type { Tensor } from "./tensor.ts";

/** A number that is set at every run of the program rather than when it is recorded. */
export interface Dynamic {
  readonly dynamic: string;
}
export const dynamic = (name: string): Dynamic => ({ dynamic: name });

export type StepParam = number | Dynamic;

/** One dispatch: what runs, on what. */
export interface Step {
  readonly kernel: string;
  readonly flags?: readonly string[];
  readonly constants?: Readonly<Record<string, number>>;
  readonly bind: Readonly<Record<string, Tensor>>;
  readonly params?: Readonly<Record<string, StepParam>>;
  /** Invocations along x, folded over y where they exceed the limit; or exact workgroups. */
  readonly invocations?: number;
  readonly groups?: readonly [number, number?, number?];
  /** It does nothing where this expert has no rows, but that it sets to 0 what it would write first. */
  readonly rows?: { readonly offsets: Tensor; readonly expert: number };
}

/** Where to put a gradient: the kernel writes when `accumulate` is 0 and adds when it is 1. */
export interface Target {
  readonly into: Tensor;
  readonly accumulate: StepParam;
}
