/** How an adapter's config names modules so that PEFT finds these and no others. */

import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import type { ParameterSpec } from "../../model/architecture.ts";
import { configOf, describeConfig } from "../../model/description.ts";

const lastPart = (module: string): string => module.split(".").at(-1)!;

/**
 * Last parts of names where these select no other module, whole names elsewhere. PEFT compares `target_modules` with
 * whole parts of names, `modules_to_save` (`loosely`) with their ends, letter by letter.
 */
export function shortNames(chosen: readonly string[], all: readonly string[], loosely = false): string[] {
  const own = new Set(chosen);
  const others = all.filter((module) => !own.has(module));
  const selects = (name: string, module: string) => module === name || module.endsWith(loosely ? name : `.${name}`);
  const names = chosen.map((module) =>
    others.some((other) => selects(lastPart(module), other)) ? module : lastPart(module),
  );
  return [...new Set(names)].sort();
}

/** Modules of a checkpoint: names of its tensors without `.weight` and `.bias`. */
export const modulesOf = ({ tensors }: Checkpoint): string[] => [
  ...new Set(
    [...tensors.keys()].flatMap((name) => (/\.(weight|bias)$/.test(name) ? [name.replace(/\.\w+$/, "")] : [])),
  ),
];

/** What is known of an architecture's tensors. */
export interface Known {
  /** What the architecture says of a tensor; nothing where it is not known here. */
  specOf(name: string): ParameterSpec | undefined;
  /** A tensor's name in the whole model, where a checkpoint of its bare trunk leaves out the prefix. */
  nameOf(name: string): string;
}

/** Reads a checkpoint's config. Tensors of unknown architectures are told apart by name and shape alone. */
export async function knownSpecs(checkpoint: Checkpoint): Promise<Known> {
  try {
    const { architecture, config } = await describeConfig(configOf(checkpoint), checkpoint.ref, undefined, checkpoint);
    const specs = new Map<string, ParameterSpec>();
    for (const spec of architecture.parameters(config))
      for (const name of spec.parts ?? [spec.name]) specs.set(name, spec);
    const nameOf = (name: string) => {
      const whole = `${architecture.basePrefix ?? ""}${name}`;
      return !specs.has(name) && specs.has(whole) ? whole : name;
    };
    return { nameOf, specOf: (name) => specs.get(nameOf(name)) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { specOf: () => undefined, nameOf: (name) => name };
  }
}
