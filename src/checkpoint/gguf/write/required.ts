/** Whether a checkpoint has every tensor without which llama.cpp does not load a model of its architecture. */
import { UserError } from "../../../errors.ts";
import { show } from "../../../json.ts";
import type { TensorInfo } from "../../checkpoint.ts";
import { EXPERT } from "../architecture.ts";
import { huggingFaceName } from "../names.ts";
import type { ModelMetadata } from "./model-metadata.ts";

/** Throws UserError that names the first tensor that is not there, or is of a layer that the config does not have. */
export function checkWhole(model: ModelMetadata, tensors: ReadonlyMap<string, TensorInfo>): void {
  const { block, needs = [] } = model.architecture;
  const inBlock = [...Object.keys(block).map((name) => `${name}.weight`), ...needs.map((name) => `${name}.bias`)];
  const names = ["token_embd.weight", "output_norm.weight", ...(model.tied ? [] : ["output.weight"])];
  for (let layer = 0; layer < model.layers; layer++) {
    for (const name of inBlock) names.push(`blk.${layer}.${name}`);
  }
  for (const stored of names) {
    const name = huggingFaceName(stored, model.architecture)!;
    const parts = name.includes(EXPERT) ? model.experts : 1;
    for (let part = 0; part < parts; part++) need(name.replace(EXPERT, String(part)), tensors);
  }
  for (const name of tensors.keys()) {
    const layer = Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);
    if (layer < model.layers) continue;
    throw new UserError(
      `tensor ${show(name)} is of layer ${layer}, but config.json says that there are ${model.layers} layers`,
      "take the config of this model",
    );
  }
}

function need(name: string, tensors: ReadonlyMap<string, TensorInfo>): void {
  if (tensors.has(name)) return;
  throw new UserError(
    `the model has no tensor ${show(name)}, which a GGUF file of its architecture needs`,
    name === "lm_head.weight"
      ? "is tie_word_embeddings missing in config.json?"
      : "take a whole model, with the config that belongs to it",
  );
}
