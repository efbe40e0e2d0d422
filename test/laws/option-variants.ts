/** Settings under which a law of a method must hold: the defaults, and every option changed alone. */

import type { OptionSpec, Options } from "../../src/method/options.ts";
import { literalsOf, optionValue } from "../../src/method/validate.ts";

export interface Variant {
  /** "" for the defaults, else the change: "temperature 0.5". */
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Other values of an option: its other words, the other truth, half of a number and its double. */
function others({ type, default: usual }: OptionSpec): unknown[] {
  if (type === "boolean") return [!usual];
  if (typeof usual === "number") return [usual / 2, usual * 2];
  return literalsOf(type).filter((word) => word !== usual);
}

/** Options without a default, and changes that an option's type does not allow, are left out. */
export async function variantsOf(options: Options): Promise<Variant[]> {
  const usual = Object.fromEntries(Object.entries(options).map(([name, { default: value }]) => [name, value]));
  const found: Variant[] = [{ name: "", settings: usual }];
  for (const [name, spec] of Object.entries(options)) {
    if (spec.default === undefined) continue;
    for (const value of others(spec)) {
      const given = { texts: [String(value)], origin: name };
      const checked = await optionValue(name, spec, given).catch(() => undefined);
      if (checked !== undefined && checked !== usual[name])
        found.push({ name: `${name} ${value}`, settings: { ...usual, [name]: checked } });
    }
  }
  return found;
}
