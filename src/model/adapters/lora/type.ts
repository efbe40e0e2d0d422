/** LoRA and its variants as types of adapters. Their settings are options of the scripts: `--lora-rank` and so on. */
import { bind } from "../../../method/bind.ts";
import type { AdapterChoice, AdapterType } from "../contract.ts";
import { continueLora } from "./continue.ts";
import { freshLora, type LoraOptions, scaleOf } from "./lora.ts";

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
    return freshLora(gpu, model.specs, model.parameters, options, model.others);
  },
  continued: ({ dropout }: Settings, from, { gpu, model, warn, init }) =>
    continueLora(gpu, model, from, { dropout, warn, halved: init?.method.takesOut ?? false }),
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
