/** The parameters of a method as they apply to one output tensor, checked against the types the method declares. */

import type { Parameters } from "../../checkpoint/lineage/recipe/settings.ts";
import { UserError } from "../../errors.ts";
import type { Options } from "../../method/options.ts";
import type { MergeMethod } from "../contract.ts";
import { lookUp } from "./parameters.ts";
import type { Input } from "./sections.ts";
import type { Slot } from "./slots.ts";
import { type Validate, validator } from "./value-checks.ts";

export interface TensorParameters {
  /** Options with one value for all models. */
  values(slot: Slot): Record<string, unknown>;
  /** Options with a value per model. `slot` says under which name the model holds the tensor. */
  perModel(slot: Slot, input: Input): Record<string, unknown>;
}

type Method = Pick<MergeMethod, "name" | "options">;

/**
 * Reads the options of the method for one tensor after the other. Its functions throw a UserError that names parameter,
 * model and tensor.
 */
export async function tensorParameters(method: Method): Promise<TensorParameters> {
  const checks = new Map<string, Validate>();
  for (const [name, spec] of Object.entries(method.options)) {
    checks.set(name, await validator(name, spec));
  }
  const select = (perModel: boolean) =>
    Object.entries(method.options).filter(([, spec]) => (spec.per === "model") === perModel);
  const shared = select(false);
  const own = select(true);

  const read = (
    options: [string, Options[string]][],
    scopes: readonly Parameters[],
    name: string,
    slot: Slot,
    who: string,
  ) => {
    const values: Record<string, unknown> = {};
    for (const [option, spec] of options) {
      const found = lookUp(scopes, option, name, slot.depth, spec.type.includes("[]"));
      if (found !== undefined) values[option] = checks.get(option)!(found, `${who}${name}`);
      else if (spec.default !== undefined) values[option] = structuredClone(spec.default);
      else if (spec.required) throw missing(option, spec.per === "model", name, who, scopes);
    }
    return values;
  };
  const missing = (
    option: string,
    perModel: boolean,
    name: string,
    who: string,
    scopes: readonly Parameters[],
  ): UserError => {
    const filtered = scopes.some((scope) => scope.has(option));
    const flag = `--${option.replaceAll("_", "-")}`;
    const hint = filtered
      ? `no filter of ${option} matches this tensor; add an entry without a filter`
      : perModel
        ? `give it with ${flag}, one value per model, or under the model's parameters`
        : `give it with ${flag}, or under parameters`;
    return new UserError(`${method.name} needs ${option} for ${who}${name}`, hint);
  };
  return {
    values: (slot) => read(shared, slot.section.scopes, slot.name, slot, ""),
    perModel: (slot, input) =>
      read(own, [input.parameters, ...slot.section.scopes], slot.nameIn(input), slot, `${input.model.ref}: `),
  };
}
