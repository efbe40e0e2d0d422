/** Adapters that are taken together: opened, checked against each other, and what is written of them. */

import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { quote } from "../../text/quote.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { openPlain, splitAdapter } from "../open.ts";
import { sameBytes } from "../same-bytes.ts";
import { isTokenTable } from "./tie.ts";
import { translated } from "./translated.ts";
import type { Accepted, AdapterValue, LowRankModule } from "./value.ts";
import { readAdapter } from "./value.ts";
import type { WrittenAdapter } from "./written.ts";

/** Opens adapters as what they are, without their bases. Throws UserError for what is none. */
export async function openAdapters(
  refs: readonly string[],
  { warn, onExit }: { warn(text: string): void; onExit(cleanup: () => void): unknown },
  accepted: Accepted = {},
): Promise<AdapterValue[]> {
  const opened: AdapterValue[] = [];
  for (const ref of refs) {
    const parts = splitAdapter(ref);
    if (parts)
      throw new UserError(
        `${ref} is a model with an adapter, and adapters are taken here without a base`,
        `name the adapter alone: ${quote(parts.adapter)}`,
      );
    const checkpoint = await openPlain(ref, { warn });
    onExit(() => checkpoint.close());
    const value = readAdapter(await translated(checkpoint), accepted);
    if (value.config.alpha === 0) warn(`${ref}: lora_alpha is 0: its changes are multiplied by 0`);
    opened.push(value);
  }
  return opened;
}

/** A module and who changes it: index of the adapter and its change. */
export interface SharedModule {
  readonly module: string;
  readonly of: readonly (readonly [adapter: number, change: LowRankModule])[];
}

const text = ({ out, inputs }: LowRankModule): string => `(${[out, ...inputs].join(", ")})`;

/**
 * The modules that any of the adapters changes, in order of appearance. Throws UserError where two do not agree on a
 * module's shape, its kind, or on which side of a weight is its inputs.
 */
export function sharedModules(adapters: readonly AdapterValue[]): SharedModule[] {
  const found = new Map<string, (readonly [number, LowRankModule])[]>();
  for (const [k, { modules }] of adapters.entries())
    for (const [module, change] of modules) found.set(module, [...(found.get(module) ?? []), [k, change]]);
  const [first] = adapters;
  const turned = adapters.find(({ config }) => config.fanInFanOut !== first!.config.fanInFanOut);
  if (turned)
    throw new UserError(
      `${first!.checkpoint.ref} and ${turned.checkpoint.ref} differ in fan_in_fan_out`,
      "these adapters are of different architectures",
    );
  for (const [module, of] of found) {
    const [[k, one]] = of as [readonly [number, LowRankModule]];
    const other = of.find(([, change]) => change.kind !== one.kind || text(change) !== text(one));
    if (other)
      throw new UserError(
        `${show(module)} is ${one.kind} ${text(one)} in ${adapters[k]!.checkpoint.ref} but ${other[1].kind} ${text(other[1])} in ${adapters[other[0]]!.checkpoint.ref}`,
        "the adapters were trained on different bases",
      );
  }
  return [...found].map(([module, of]) => ({ module, of }));
}

/** Text of a key of adapter_config.json; null where there is none. */
const textIn = ({ json }: AdapterValue, key: string): string | null => {
  const value = json[key];
  return typeof value === "string" ? value : null;
};

/**
 * Tensors that adapters hold whole. PEFT combines none that two adapters have; those of one alone, or equal ones, go
 * with the result. Throws UserError for others.
 */
export async function sharedWhole(adapters: readonly AdapterValue[]): Promise<Map<string, TensorEntry>> {
  const found = new Map<string, { entry: TensorEntry; ref: string }>();
  for (const { whole, checkpoint } of adapters)
    for (const [name, entry] of whole) {
      const known = found.get(name);
      if (known === undefined) found.set(name, { entry, ref: checkpoint.ref });
      else if (!(await sameBytes(known.entry, entry)))
        throw new UserError(
          `${known.ref} and ${checkpoint.ref} both hold ${show(name)} whole, with different values`,
          "whole tensors are not combined without their base: apply each to it (base+adapter) and merge the models",
        );
    }
  return new Map([...found].map(([name, { entry }]) => [name, entry]));
}

type Carried = Pick<
  WrittenAdapter,
  "base" | "targets" | "modulesToSave" | "bias" | "fanInFanOut" | "taskType" | "ensureWeightTying" | "files"
>;

/**
 * Whether the change of a token table is that of a tied head, too. Throws UserError where adapters that change the
 * table do not agree.
 */
function sharedTie(adapters: readonly AdapterValue[]): boolean {
  const [first, ...others] = adapters.filter(({ modules, whole }) =>
    [...[...modules.keys()].map((module) => `${module}.weight`), ...whole.keys()].some(isTokenTable),
  );
  const tying = first?.config.ensureWeightTying ?? false;
  const other = others.find(({ config }) => config.ensureWeightTying !== tying);
  if (other)
    throw new UserError(
      `${first!.checkpoint.ref} and ${other.checkpoint.ref} change the embedding and differ in ensure_weight_tying`,
      "with it a tied head changes too: apply each to the base (base+adapter) and merge the models",
    );
  return tying;
}

/** What of the adapters' configs goes with a result that changes these modules. Throws UserError where ties differ. */
export function carriedConfig(adapters: readonly AdapterValue[], modules: readonly string[]): Carried {
  const lists = adapters.map(({ config }) => config.targets);
  const targets = lists.every((list) => list !== undefined) ? [...new Set(lists.flat())].sort() : [...modules];
  const [first] = adapters as [AdapterValue];
  const files = new Map<string, Uint8Array>();
  for (const { checkpoint } of adapters)
    for (const [name, bytes] of checkpoint.files) if (!files.has(name)) files.set(name, bytes);
  files.delete("config.json");
  return {
    base: textIn(first, "base_model_name_or_path"),
    targets,
    modulesToSave: [...new Set(adapters.flatMap(({ config }) => config.modulesToSave))],
    bias: adapters.map(({ config }) => config.bias).find((bias) => bias !== "none") ?? "none",
    fanInFanOut: first.config.fanInFanOut,
    taskType: textIn(first, "task_type"),
    ensureWeightTying: sharedTie(adapters),
    files,
  };
}

/** Warns of adapters that name different bases: those of one architecture may fit all the same. */
export function warnOfBases(adapters: readonly AdapterValue[], warn: (text: string) => void): void {
  const named = adapters.flatMap((adapter) => {
    const base = textIn(adapter, "base_model_name_or_path");
    return base === null ? [] : [[adapter.checkpoint.ref, base] as const];
  });
  const other = named.find(([, base]) => base.replace(/\/+$/, "") !== named[0]![1].replace(/\/+$/, ""));
  if (other)
    warn(
      `${named[0]![0]} names the base ${show(named[0]![1])} and ${other[0]} names ${show(other[1])}; their sum makes sense on one base alone`,
    );
}
