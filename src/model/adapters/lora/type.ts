/** LoRA and its variants as types of adapters. Their settings are options of the scripts: `--lora-rank` and so on. */
import { bind } from "../../../method/bind.ts";
import { roundedBase } from "../adapter-init.ts";
import type { AdapterChoice, AdapterType } from "../contract.ts";
import { continueLora } from "./continue.ts";
import { freshLora, isOfWeight, type LoraOptions, scaleOf } from "./lora.ts";
import { roundBase } from "./taken-out.ts";

type Settings = Partial<Pick<LoraOptions, "rank" | "alpha" | "dropout" | "rslora" | "dora">>;

/** The type with a name of its own; `fixed` is what sets the variant apart. */
export const loraType = (
  info: Pick<AdapterType, "name" | "title" | "about" | "cite">,
  fixed: Pick<Settings, "rslora" | "dora"> = {},
): AdapterType => ({
  ...info,
  options: {},
  peftType: "LORA",
  strength(values) {
    const { rank = 16, alpha = 32, rslora = false }: Settings = { ...values, ...fixed };
    return { rank, scale: scaleOf({ r: rank, alpha, rslora }) };
  },
  fresh(values, { gpu, model, ...making }) {
    const { rank = 16, alpha = 32, ...own }: Settings = values;
    const options = { rank, alpha, ...own, ...fixed, ...making } as LoraOptions;
    const { init, warn } = making;
    const rounding = init && isOfWeight(init) ? init.method.rounding : undefined;
    if (rounding && roundedBase(init) === undefined)
      warn(`--adapter-init ${init!.method.name}: the adapter is for ${rounding.said}`);
    return freshLora(gpu, model.specs, model.parameters, options, model.others);
  },
  async continued({ dropout }: Settings, from, { gpu, model, warn, init }) {
    const adapter = await continueLora(gpu, model, from, { dropout, warn, halved: init?.method.takesOut ?? false });
    if (init && isOfWeight(init) && init.method.rounding) await roundBase(adapter.entries, { gpu, model, init });
    return adapter;
  },
});

export const LORA = loraType({
  name: "lora",
  title: "LoRA",
  about: "adds a product of two low-rank matrices to every weight",
  cite: "arXiv:2106.09685",
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
