/** The architectures of GGUF files that are read whole and written. */
import type { GgufArchitecture } from "./architecture.ts";
import { cohere2 } from "./architectures/cohere2.ts";
import { exaone4 } from "./architectures/exaone4.ts";
import { gemma2 } from "./architectures/gemma2.ts";
import { gemma3 } from "./architectures/gemma3.ts";
import { glm4 } from "./architectures/glm4.ts";
import { granite } from "./architectures/granite.ts";
import { hunyuanDense } from "./architectures/hunyuan-dense.ts";
import { llama } from "./architectures/llama.ts";
import { mistral, olderMistral } from "./architectures/mistral.ts";
import { mixtral } from "./architectures/mixtral.ts";
import { olmo2 } from "./architectures/olmo2.ts";
import { olmo3 } from "./architectures/olmo3.ts";
import { olmoe } from "./architectures/olmoe.ts";
import { phi3 } from "./architectures/phi3.ts";
import { qwen2 } from "./architectures/qwen2.ts";
import { qwen2moe } from "./architectures/qwen2moe.ts";
import { qwen3 } from "./architectures/qwen3.ts";
import { qwen3moe } from "./architectures/qwen3moe.ts";
import { seedOss } from "./architectures/seed-oss.ts";
import { smollm3 } from "./architectures/smollm3.ts";
import type { GgufMetadata } from "./header.ts";
import { GgufKeys } from "./keys.ts";

const ALL: readonly GgufArchitecture[] = [
  ...[llama, mistral, mixtral, qwen2, qwen2moe, qwen3, qwen3moe, gemma2, gemma3, phi3, olmo2, olmo3, olmoe],
  ...[granite, smollm3, glm4, seedOss, cohere2, exaone4, hunyuanDense],
];

/** `model_type` of all that are written. */
export const GGUF_MODEL_TYPES: readonly string[] = ALL.map(({ type }) => type);

/** What a model of this `model_type` is written as. */
export const architectureOfType = (modelType: string): GgufArchitecture | undefined =>
  ALL.find(({ type }) => type === modelType);

/** What a file is of; undefined where its architecture is not known. */
export function architectureOfFile(metadata: GgufMetadata, ref: string): GgufArchitecture | undefined {
  const stated = metadata.get("general.architecture");
  const named = [...ALL, olderMistral].filter(({ name }) => name === stated);
  const keys = new GgufKeys(metadata, String(stated), ref);
  return named.find((one) => one.claims?.(keys)) ?? named.find((one) => one.claims === undefined);
}
