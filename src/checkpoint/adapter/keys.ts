/** What each tensor of an adapter is, by its name: PEFT's keys, and the looser forms that other tools write. */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import type { AdapterConfig } from "./config.ts";

/** `module` and `tensor` are names in the base model, without PEFT's prefix. */
export type AdapterPart =
  | { readonly kind: "factor"; readonly module: string; readonly part: Factor }
  | { readonly kind: "replace"; readonly tensor: string }
  | { readonly kind: "tokens"; readonly module: string };

export type Factor = "a" | "b" | "bBias" | "embeddingA" | "embeddingB" | "magnitude";

const PREFIX = "base_model.model.";

/** Module, which factor, an adapter's name (never on disk with PEFT itself), weight or bias. */
const FACTOR =
  /^(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)(?:\.(?!weight$|bias$)[^.]+)?(?:\.(weight|bias))?$/;
const TOKENS = /^(.+)\.token_adapter\.trainable_tokens_delta(?:\.[^.]+)?$/;
const SAVED = /^(.+)\.modules_to_save\.(?:(?!weight$|bias$)[^.]+\.)?((?:[^.]+\.)*[^.]+)$/;
const BASE_LAYER = /^(.+)\.base_layer\.(weight|bias)$/;
const EMBEDDING_OR_HEAD = /(^|\.)(embed_tokens|wte|word_embeddings|embed_in|lm_head|embed_out)\.weight$/;

const PARTS: Record<string, Factor> = {
  lora_A: "a",
  lora_B: "b",
  lora_embedding_A: "embeddingA",
  lora_embedding_B: "embeddingB",
  lora_magnitude_vector: "magnitude",
};

/** PEFT's names of a module's tensors. */
export const tensorName = (module: string, part: "lora_A" | "lora_B" | "lora_magnitude_vector"): string =>
  `${PREFIX}${module}.${part}${part === "lora_magnitude_vector" ? "" : ".weight"}`;

/** PEFT's names of the factors of an embedding. */
export const embeddingName = (module: string, letter: "A" | "B"): string =>
  `${PREFIX}${module}.lora_embedding_${letter}`;

/** The name of a tensor that an adapter holds whole. */
export const wholeName = (tensor: string): string => `${PREFIX}${tensor}`;

export const isFactorName = (name: string): boolean => FACTOR.test(name);

/** Throws UserError for a name that PEFT does not use: leaving a tensor out would change the model unseen. */
export function classify(name: string, config: AdapterConfig, where: string): AdapterPart {
  const key = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
  const unknown = new UserError(
    `${where}: ${show(name)} is not a known LoRA tensor`,
    "expected lora_A, lora_B, lora_embedding_A or _B, lora_magnitude_vector, a bias, or a module named in modules_to_save",
  );

  const factor = FACTOR.exec(key);
  if (factor !== null) {
    const [, module = "", which = "", suffix] = factor;
    if (module.endsWith(".base_layer") && config.targetParameters.length === 0) {
      throw new UserError(
        `${where}: ${show(name)} adapts a parameter, but adapter_config.json has no target_parameters`,
        "the file and its config do not belong together",
      );
    }
    if (suffix !== "bias") return { kind: "factor", module, part: PARTS[which]! };
    if (which === "lora_B") return { kind: "factor", module, part: "bBias" };
    throw unknown;
  }
  const tokens = TOKENS.exec(key);
  if (tokens !== null) return { kind: "tokens", module: tokens[1]! };
  const baseLayer = BASE_LAYER.exec(key);
  if (baseLayer !== null) {
    const tensor = `${baseLayer[1]}.${baseLayer[2]}`;
    if (baseLayer[2] === "bias" ? config.bias !== "none" : mayReplace(tensor, config)) {
      return { kind: "replace", tensor };
    }
    throw unknown;
  }
  const saved = SAVED.exec(key);
  const tensor = saved === null ? key : `${saved[1]}.${saved[2]}`;
  if (/(^|\.)lora_/.test(tensor) || !(saved !== null || mayReplace(tensor, config))) throw unknown;
  return { kind: "replace", tensor };
}

/**
 * Full tensors are stored for modules_to_save, for embeddings and heads (kept when the vocabulary grew), and for
 * biases.
 */
function mayReplace(tensor: string, config: AdapterConfig): boolean {
  return (
    isSavedModule(tensor, config) ||
    EMBEDDING_OR_HEAD.test(tensor) ||
    (config.bias !== "none" && tensor.endsWith(".bias"))
  );
}

export const isSavedModule = (tensor: string, config: AdapterConfig): boolean =>
  config.modulesToSave.some((module) => `.${tensor}`.includes(`.${module}.`));

/** Whether a replaced tensor may have other rows than the base's: only vocabularies grow. */
export const isVocabulary = (tensor: string): boolean => EMBEDDING_OR_HEAD.test(tensor);
