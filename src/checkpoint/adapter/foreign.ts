/** Adapters that are not PEFT's LoRA, told by what their config or their tensors say, and refused by name. */
import { UserError } from "../../errors.ts";
import { isObject, parseJson, show } from "../../json.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { isKnownType, isTranslated, peftTypeOf } from "./format.ts";

/** `peft_type` of PEFT 0.18 and what its papers and users call it. */
const PEFT_TYPES: Readonly<Record<string, string>> = {
  ADALORA: "AdaLoRA",
  ADAPTION_PROMPT: "LLaMA-Adapter (adaption prompt)",
  BOFT: "BOFT",
  BONE: "Bone",
  C3A: "C3A",
  CPT: "CPT (context-aware prompt tuning)",
  FOURIERFT: "FourierFT",
  HRA: "HRA",
  IA3: "IA3",
  LN_TUNING: "LayerNorm tuning",
  LOHA: "LoHa",
  LOKR: "LoKr",
  MISS: "MiSS",
  MULTITASK_PROMPT_TUNING: "multitask prompt tuning",
  OFT: "OFT",
  P_TUNING: "P-tuning",
  POLY: "Polytropon",
  PREFIX_TUNING: "prefix tuning",
  PROMPT_TUNING: "prompt tuning",
  RANDLORA: "RandLoRA",
  ROAD: "RoAd",
  SHIRA: "SHiRA",
  TRAINABLE_TOKENS: "trainable tokens",
  VBLORA: "VB-LoRA",
  VERA: "VeRA",
  WAVEFT: "WaveFT",
  XLORA: "X-LoRA",
};

const GGUF = "GGUF LoRA";

/** Tensors that only one kind of adapter has, for files without a config. */
const TENSORS: readonly (readonly [pattern: RegExp, kind: string])[] = [
  [/\.weight\.lora_[ab]$/, GGUF],
  [/\.lora_[ab]$/, "MLX LoRA"],
  [/\.ia3_l(\.|$)/, "IA3"],
  [/\.hada_[wt][12](_[ab])?(\.|$)/, "LoHa"],
  [/\.lokr_[wt][12](_[ab])?(\.|$)/, "LoKr"],
  [/\.vera_lambda_[bd](\.|$)|(^|\.)vera_[AB](\.|$)/, "VeRA"],
  [/\.vblora_logits_[AB](\.|$)/, "VB-LoRA"],
  [/\.randlora_(lambda|gamma)(\.|$)/, "RandLoRA"],
  [/\.oft_[rR](\.|$)/, "OFT"],
  [/\.boft_[RS](\.|$)/, "BOFT"],
  [/\.fourierft_spectrum(\.|$)/, "FourierFT"],
  [/\.hra_u(\.|$)/, "HRA"],
  [/\.c3a_kernel(\.|$)/, "C3A"],
  [/\.bone_block(\.|$)|\.bone_(\.|$)/, "Bone"],
  [/\.miss_block(\.|$)/, "MiSS"],
  [/\.shira_weight(\.|$)/, "SHiRA"],
  [/\.lora_E(\.|$)/, "AdaLoRA"],
  [/\.ln_tuning_layers\./, "LayerNorm tuning"],
  [/(?<!\.token_adapter)\.trainable_tokens_delta(\.|$)/, "trainable tokens"],
  [/(^|\.)internal_xlora_classifier\./, "X-LoRA"],
  [/^prompt_embeddings$/, "prompt tuning"],
  [/\.adaption_(prompt|gate)$/, "LLaMA-Adapter (adaption prompt)"],
];

/** The kind that a tensor's name gives away; undefined for LoRA and for the tensors of models. */
const kindOf = (name: string): string | undefined => TENSORS.find(([pattern]) => pattern.test(name))?.[1];

/** Whether tensors show that this is an adapter of a kind that is not read here. */
export const hasForeignTensors = (names: Iterable<string>): boolean => {
  for (const name of names) if (kindOf(name) !== undefined) return true;
  return false;
};

/** What adapter_config.json calls the adapter, if it is no LoRA of PEFT. */
function kindInConfig(config: Readonly<Record<string, unknown>>): string | undefined {
  if (typeof config.fine_tune_type === "string") return `MLX ${config.fine_tune_type}`;
  if (typeof config.lora_parameters === "object" && config.peft_type === undefined) return "MLX LoRA";
  const type = config.peft_type ?? "LORA";
  if (type === "LORA") return undefined;
  if (typeof type !== "string") return JSON.stringify(type);
  const name = type.toUpperCase();
  return Object.hasOwn(PEFT_TYPES, name) ? PEFT_TYPES[name] : type;
}

/** Throws UserError when `config` (adapter_config.json) is that of another kind of adapter than PEFT's LoRA. */
export function refuseForeignConfig(config: Readonly<Record<string, unknown>>, where: string): void {
  const kind = kindInConfig(config);
  if (kind !== undefined) throw foreign(kind, where);
}

/** Throws UserError for an adapter of a type that is read here neither as LoRA nor by a file of its own. */
export function refuseUnread(adapter: Pick<Checkpoint, "ref" | "files" | "tensors">): void {
  const type = peftTypeOf(adapter);
  if (type !== "LORA" && (isKnownType(type) || isTranslated(type))) return;
  if (!adapter.files.has("adapter_config.json")) refuseBare(adapter);
  refuseForeign(adapter);
}

/** Throws UserError for tensors of a type that is read here, whose config is not there. */
function refuseBare({ ref, tensors }: Pick<Checkpoint, "ref" | "tensors">): void {
  for (const name of tensors.keys()) {
    const kind = kindOf(name);
    const type = Object.keys(PEFT_TYPES).find((key) => PEFT_TYPES[key] === kind);
    if (kind !== undefined && type !== undefined && (isKnownType(type) || isTranslated(type)))
      throw new UserError(
        `${ref} has tensors of ${kind} but no adapter_config.json`,
        "copy adapter_config.json beside them; its settings are only there",
      );
  }
}

/**
 * Throws UserError when the adapter is not PEFT's LoRA, by its config or by its tensors: before its base is opened, so
 * that a missing base does not hide it.
 */
export function refuseForeign(adapter: Pick<Checkpoint, "ref" | "files" | "tensors">): void {
  const bytes = adapter.files.get("adapter_config.json");
  if (bytes !== undefined) {
    const what = `${adapter.ref}: adapter_config.json`;
    const { value } = parseJson(new TextDecoder().decode(bytes), what);
    if (isObject(value)) refuseForeignConfig(value, adapter.ref);
  }
  for (const name of adapter.tensors.keys()) {
    const kind = kindOf(name);
    if (kind !== undefined) throw foreign(kind, adapter.ref);
  }
}

function foreign(kind: string, where: string): UserError {
  const hint = kind.startsWith("MLX")
    ? "fuse it into its base with mlx_lm.fuse, or convert it to PEFT's format"
    : kind === GGUF
      ? "take the adapter as a folder, or merge it into its base with llama-export-lora"
      : "merge it into its base with the tool that made it, or train a LoRA";
  return new UserError(`${where} is an adapter of the kind ${show(kind)}, which is not read here; expected LoRA`, hint);
}
