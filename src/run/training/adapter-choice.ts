/** Which adapter a run trains: what `--adapter`, `--lora` and their settings say. */
import { UserError } from "../../errors.ts";
import { type Bound, bind } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { type AdapterInit, roundedBase } from "../../model/adapters/adapter-init.ts";
import type { AdapterChoice, AdapterType } from "../../model/adapters/contract.ts";
import { splitTargets } from "../../model/adapters/targets.ts";

/** Options of adapters, and the method that `--adapter` names. */
export interface AdapterOptions {
  readonly adapter?: string | undefined;
  readonly adapter_targets?: readonly string[] | undefined;
  readonly lora?: boolean;
  readonly lora_rank?: number;
  readonly lora_alpha?: number;
  readonly lora_targets?: readonly string[] | undefined;
  readonly lora_dropout?: number | undefined;
  readonly rslora?: boolean;
  readonly dora?: boolean;
  readonly lora_continue?: boolean;
}

/** Whether a new adapter is trained. */
export const makesAdapter = ({ lora = false, adapter }: AdapterOptions): boolean => lora || adapter !== undefined;

/** Whether an adapter is trained, a new one or one that is there. */
export const trainsAdapter = (options: AdapterOptions): boolean =>
  makesAdapter(options) || (options.lora_continue ?? false);

/** The flag that asks for an adapter, for messages. */
export const adapterFlag = ({ lora, adapter }: AdapterOptions): string =>
  lora ? "--lora" : adapter === undefined ? "--lora-continue" : `--adapter ${adapter}`;

/** Throws UserError for two of the ways to name an adapter. */
export function refuseTwoAdapters({ lora, adapter, lora_continue, lora_targets, adapter_targets }: AdapterOptions) {
  if (lora && adapter !== undefined)
    throw new UserError(`--lora and --adapter ${adapter} both name an adapter`, "give one of them");
  if ((lora || adapter !== undefined) && lora_continue)
    throw new UserError(
      `${lora ? "--lora" : `--adapter ${adapter}`} makes a new adapter and --lora-continue trains an existing one`,
      "give one of them",
    );
  if (lora_targets && adapter_targets)
    throw new UserError("--lora-targets and --adapter-targets both name what is adapted", "give one of them");
}

/** LoRA's settings under the names that its type takes. */
const loraValues = ({ lora_rank, lora_alpha, lora_dropout, rslora, dora }: AdapterOptions) => ({
  ...{ rank: lora_rank ?? 16, alpha: lora_alpha ?? 32 },
  ...(lora_dropout === undefined ? {} : { dropout: lora_dropout }),
  ...(rslora ? { rslora } : {}),
  ...(dora ? { dora } : {}),
});

/** The adapter that options ask for, on a base of this name; undefined where there is none. */
export async function adapterChoice(
  options: AdapterOptions & { readonly seed: number },
  picked: { readonly type: Bound<AdapterType> | undefined; readonly init: Bound<AdapterInit> | undefined },
  base: string,
): Promise<AdapterChoice | undefined> {
  if (!trainsAdapter(options)) return undefined;
  const { seed, lora_targets, adapter_targets } = options;
  const type = picked.type ?? bind(await loadMethod("adapter", "lora"), {});
  const targets = adapter_targets ?? lora_targets;
  const isLora = type.method.peftType === "LORA";
  return {
    type: isLora ? bind(type.method, Object.assign({}, type.values, loraValues(options))) : type,
    ...(targets ? { targets: splitTargets(targets) } : {}),
    ...(picked.init ? { init: picked.init } : {}),
    ...{ seed, base: roundedBase(picked.init) ?? base },
  };
}
