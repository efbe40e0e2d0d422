/** What stands behind the name of a verifier, as values of its options: `512,64`, or `max=512,unit=characters`. */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { didYouMean } from "../../method/nearest.ts";
import { nameIn, type Options } from "../../method/options.ts";
import { type Given, valuesOf } from "../../method/validate.ts";
import { formOf, type VerifierMethod } from "./contract.ts";

/**
 * The values of an argument, in the order of the options or by name; the name alone of a switch turns it on. Throws
 * UserError that begins with `origin` and the name.
 */
export async function argumentValues(
  method: VerifierMethod,
  argument: string,
  origin: string,
): Promise<Record<string, unknown>> {
  const { options, name } = method;
  const about = `${origin} ${name}`;
  const given = new Map<string, Given>();
  const order = Object.keys(options);
  let place = 0;
  const parts = argument.trim() === "" ? [] : argument.split(",").map((part) => part.trim());
  for (const part of parts) {
    const [key, text] = assigned(part, options, about) ?? [order[place++], part];
    if (key === undefined)
      throw new UserError(
        order.length === 0 ? `${about} takes nothing behind its name` : `${about}: ${show(part)} is one value too many`,
        `it is written ${formOf(method)}`,
      );
    if (given.has(key)) throw new UserError(`${about}: ${key} is given twice`, `it is written ${formOf(method)}`);
    if (text !== "") given.set(key, { texts: [text], origin: `${about}: ${key}` });
  }
  return valuesOf(options, given);
}

/** The option and the text of `key=text`, or of a switch by its name; undefined of a value in its place. */
function assigned(part: string, options: Options, about: string): [string, string] | undefined {
  const [, key, text] = /^([A-Za-z][\w-]*)=(.*)$/s.exec(part) ?? [];
  if (key === undefined) {
    const name = nameIn(options, part.replaceAll("-", "_"));
    return name !== undefined && options[name]!.type === "boolean" ? [name, "true"] : undefined;
  }
  const name = nameIn(options, key.replaceAll("-", "_"));
  if (name === undefined)
    throw new UserError(
      `${about} has no option ${key}`,
      didYouMean(key, Object.keys(options)) ?? `its options are ${Object.keys(options).join(", ")}`,
    );
  return [name, text!];
}
