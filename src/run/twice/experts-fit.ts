/** Whether experts, an aggregator and a student go together. */
import { UserError } from "../../errors.ts";
import type { AggregatorForm } from "./aggregator.ts";
import type { Network } from "./network.ts";

/** Throws UserError for the first that does not fit the student. */
export function checkExperts(
  student: Network,
  experts: readonly { readonly network: Network }[],
  form?: Pick<AggregatorForm, "width">,
): void {
  for (const { network } of experts) {
    if (network.inputs !== student.inputs)
      throw new UserError(
        `${network.ref} reads rows of ${network.inputs} numbers, and ${student.ref} of ${student.inputs}`,
        "experts and student read the same rows",
      );
    if (network.width !== student.width)
      throw new UserError(
        `the head of ${network.ref} reads ${network.width} numbers, and that of ${student.ref} ${student.width}`,
        "features are compared number by number: give both the same last layer",
      );
  }
  if (form && form.width !== student.width)
    throw new UserError(
      `the aggregator gives ${form.width} numbers, and the head of ${student.ref} reads ${student.width}`,
      "give the aggregator that was written with this student",
    );
}
