/** What a method's capabilities do in a run with one teacher. */
import type { DistillPart, LossWeights } from "../../src/distill/capability.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import type { Bound } from "../../src/method/bind.ts";

export const weightsOf = (method: DistillMethod, given: Partial<LossWeights> = {}): LossWeights => ({
  distill: given.distill ?? method.weights?.distill ?? 1,
  labels: given.labels ?? method.weights?.labels ?? 0,
});

/** `weights` are the method's own when left out. */
export const partsOf = ({ method, values }: Bound<DistillMethod>, weights = weightsOf(method)): DistillPart[] =>
  (method.needs ?? []).flatMap(
    (capability) =>
      capability.begin(values, { method: method.name, named: ["teacher"], weights, evaluates: true }) ?? [],
  );
