/** How many inputs share a scale. */
import type { TensorEntry } from "../checkpoint.ts";
import { described, refusal, type Stored } from "./contract.ts";

/** The config's group size where it fits the scales, else what they divide the inputs into. Throws UserError. */
export function groupSizeOf(
  stored: Stored,
  layout: string,
  codes: TensorEntry,
  { groups, inputs }: { readonly groups: number; readonly inputs: number },
): number {
  const stated = stored.settings?.group_size;
  const size = stated === -1 ? inputs : stated;
  if (typeof size === "number" && size > 0 && Math.ceil(inputs / size) === groups) return size;
  if (groups > 0 && inputs % groups === 0) return inputs / groups;
  throw refusal(stored, layout, `${described(codes)} has ${inputs} inputs, which ${groups} groups do not divide`);
}
