/** What a file says to a declaration: the values of its options, and tensors of the shapes that it asks for. */
import { patternedStrength } from "../../checkpoint/adapter/config.ts";
import type { HostTensor } from "../../checkpoint/adapter/format.ts";
import { UserError } from "../../errors.ts";
import type { JsonObject } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import { optionValue } from "../../method/validate.ts";
import { showShape } from "../../tensor/tensor.ts";
import type { AdapterDeclaration, TensorSpec } from "./declaration.ts";

export const FOREIGN = "the adapter was trained on another base";

/** The settings that a config holds; defaults where it says nothing. Throws UserError. */
export async function settingsOf<O extends Options>(
  { options, keys, check }: AdapterDeclaration<O>,
  json: JsonObject,
  where: string,
): Promise<Values<O>> {
  check?.(json, where);
  const values: Record<string, unknown> = {};
  for (const [option, spec] of Object.entries(options)) {
    const key = keys?.[option] ?? option;
    const given = json[key] ?? undefined;
    const texts = [given].flat().map(String);
    values[option] =
      given === undefined
        ? spec.default
        : await optionValue(option, spec, { texts, origin: `${where}: adapter_config.json: ${key}` });
  }
  return values as Values<O>;
}

/** What a config's patterns say of a layer's own settings. Throws UserError. */
export function ownSettings<O extends Options>(
  { patterned }: AdapterDeclaration<O>,
  json: JsonObject,
  where: string,
): (module: string) => Partial<Values<O>> {
  if (!patterned) return () => ({});
  const strength = patternedStrength(json, where);
  return (module) => {
    const { rank, alpha } = strength(module);
    const given = [[patterned.rank, rank] as const, [patterned.alpha, alpha] as const];
    return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as Partial<Values<O>>;
  };
}

/** Values of a tensor of a file. Throws UserError unless it has the shape that is asked for. */
export function fitted(ref: string, what: string, tensor: HostTensor | undefined, { shape }: TensorSpec): Float32Array {
  if (!tensor) throw new UserError(`${ref} has no ${what}`, "the file is incomplete");
  if (tensor.shape.join() !== shape.join())
    throw new UserError(`${ref}: ${what} is ${showShape(tensor.shape)}, expected ${showShape(shape)}`, FOREIGN);
  return tensor.values;
}

/** The same; undefined of what a file may lack, and does. */
export const given = (
  ref: string,
  what: string,
  tensor: HostTensor | undefined,
  spec: TensorSpec,
): Float32Array | undefined => (!tensor && spec.optional ? undefined : fitted(ref, what, tensor, spec));
