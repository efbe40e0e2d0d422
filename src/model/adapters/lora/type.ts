/** LoRA and its variants as types of adapters. Their settings are options of the scripts: `--lora-rank` and so on. */
import { bind } from "../../../method/bind.ts";
import type { Options, Values } from "../../../method/options.ts";
import { roundedBase } from "../adapter-init.ts";
import type { AdapterChoice, AdapterType, Making } from "../contract.ts";
import { continueLora } from "./continue.ts";
import { freshLora, isOfWeight, type LoraOptions, scaleOf } from "./lora.ts";
import type { RowRates } from "./row-rates.ts";
import { roundBase } from "./taken-out.ts";

type Settings = Partial<Pick<LoraOptions, "rank" | "alpha" | "dropout" | "rslora" | "dora">>;

/** What sets a variant apart. */
interface Fixed extends Pick<Settings, "rslora" | "dora" | "dropout"> {
  /** The scale s is 1. */
  readonly plain?: boolean;
  readonly rates?: RowRates;
}

/** The type with a name and options of its own. */
export const loraType = <const O extends Options = Record<never, never>>(
  info: Pick<AdapterType<O>, "name" | "title" | "about" | "cite" | "options">,
  variant: (values: Values<O>) => Fixed = () => ({}),
): AdapterType<O> => ({
  ...info,
  peftType: "LORA",
  strength(values) {
    const { plain, rslora } = variant(values);
    const { rank = 16, alpha = 32, ...given }: Settings = values;
    return { rank, scale: plain ? 1 : scaleOf({ r: rank, alpha, rslora: rslora ?? given.rslora ?? false }) };
  },
  async fresh(values, { gpu, model, ...making }) {
    const { plain, rates, ...fixed } = variant(values);
    const { rank = 16, alpha = 32, dropout, rslora, dora }: Settings = values;
    const strength = { rank, alpha: plain ? rank : alpha };
    const { warn, ...more } = making;
    const options = { ...strength, ...definedOf({ dropout, rslora, dora }), ...fixed, ...more };
    warnOfRounding(making);
    const adapter = await freshLora(gpu, model.specs, model.parameters, options, model.others);
    return rates ? adapter.withRates(rates) : adapter;
  },
  async continued(values, from, { gpu, model, warn, init }) {
    const { rates } = variant(values);
    const { dropout }: Settings = values;
    const adapter = await continueLora(gpu, model, from, { dropout, warn, halved: init?.method.takesOut ?? false });
    if (init && isOfWeight(init) && init.method.rounding) await roundBase(adapter.entries, { gpu, model, init });
    return rates ? adapter.withRates(rates) : adapter;
  },
});

const definedOf = <T extends object>(values: T): T =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;

/** Says what an adapter goes with that does not go with the base. */
function warnOfRounding({ init, warn }: Pick<Making, "init" | "warn">): void {
  const rounding = init && isOfWeight(init) ? init.method.rounding : undefined;
  if (rounding && roundedBase(init) === undefined)
    warn(`--adapter-init ${init!.method.name}: the adapter is for ${rounding.said}`);
}

export const LORA = loraType({
  name: "lora",
  title: "LoRA",
  about: "adds a product of two low-rank matrices to every weight",
  cite: "arXiv:2106.09685",
  options: {},
});

/** The choice that these options describe. */
export const loraChoice = ({ rank, alpha, dropout, rslora, dora, ...making }: LoraOptions): AdapterChoice => ({
  ...making,
  type: bind(LORA, {
    ...{ rank, alpha },
    ...(dropout === undefined ? {} : { dropout }),
    ...(rslora ? { rslora } : {}),
    ...(dora ? { dora } : {}),
  }),
});
