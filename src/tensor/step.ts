/** One step of a recording, and the numbers that it takes. */
import { UserError } from "../errors.ts";
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

/** Throws UserError where a kernel that is no product would read the codes of a weight as its values. */
export function refuseCodes({ kernel, bind }: Step): void {
  const codes = Object.values(bind).find(({ dtype }) => dtype === "codes");
  if (!codes || kernel.startsWith("matmul/")) return;
  throw new UserError(
    `${codes.label} is held as codes (--load-in), and ${kernel} reads plain weights`,
    "hold the weights themselves, or leave out what reads them",
  );
}
