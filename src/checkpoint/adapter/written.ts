/** An adapter as PEFT's files hold it: the text of its config, and names and shapes of its tensors. */
import type { JsonObject } from "../../json.ts";
import type { LineageEntry, TensorInfo } from "../checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../dtype.ts";
import type { OutputPlan } from "../write/shards.ts";
import { embeddingName, tensorName, wholeName } from "./keys.ts";
import type { LowRankModule } from "./value.ts";

/** A module whose change is B A: its alpha is its rank. */
export type WrittenModule = Pick<LowRankModule, "module" | "kind" | "rank" | "inputs" | "out">;

/** What is to be written. */
export interface WrittenAdapter {
  readonly modules: readonly WrittenModule[];
  /** Types of the factors. */
  readonly dtype: Dtype;
  /** Tensors that are held whole, by name in the base. */
  readonly whole: ReadonlyMap<string, Pick<TensorInfo, "dtype" | "shape" | "bytes">>;
  /** Of DoRA: the lengths of every module, which are copied. */
  readonly magnitudes?: ReadonlyMap<string, Pick<TensorInfo, "dtype" | "shape" | "bytes">>;
  readonly base: string | null;
  /** What selects the modules in the base. */
  readonly targets: readonly string[] | string;
  readonly modulesToSave: readonly string[];
  readonly bias: "none" | "all" | "lora_only";
  readonly fanInFanOut: boolean;
  readonly taskType: string | null;
  /** Head and embedding are one tensor, and the change of one is that of the other. */
  readonly ensureWeightTying?: boolean;
  /** Files beside the config: a tokenizer whose vocabulary grew. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

/** Names of a module's A and B in the file. */
export const factorNames = ({ module, kind }: Pick<WrittenModule, "module" | "kind">): readonly [string, string] =>
  kind === "embedding"
    ? [embeddingName(module, "A"), embeddingName(module, "B")]
    : [tensorName(module, "lora_A"), tensorName(module, "lora_B")];

/** adapter_config.json. Ranks that are not the usual one stand in patterns, alphas beside them: every scale is 1. */
function configOf(adapter: WrittenAdapter): JsonObject {
  const { modules, whole, base, targets, modulesToSave, bias, fanInFanOut, taskType } = adapter;
  const counts = new Map<number, number>();
  for (const { rank } of modules) counts.set(rank, (counts.get(rank) ?? 0) + 1);
  const largest = Math.max(1, ...counts.keys());
  const odd = modules.filter(({ rank }) => rank !== largest).map(({ module, rank }) => [module, rank] as const);
  return {
    alpha_pattern: Object.fromEntries(odd),
    base_model_name_or_path: base,
    bias: whole.size === 0 ? "none" : bias,
    ...(adapter.ensureWeightTying ? { ensure_weight_tying: true } : {}),
    fan_in_fan_out: fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: largest,
    lora_dropout: 0,
    modules_to_save: modulesToSave.length === 0 ? null : [...modulesToSave],
    peft_type: "LORA",
    r: largest,
    rank_pattern: Object.fromEntries(odd),
    target_modules: typeof targets === "string" ? targets : [...targets],
    task_type: taskType,
    use_dora: (adapter.magnitudes?.size ?? 0) > 0,
    use_rslora: false,
  };
}

/** A and B of every module, then lengths, then what is held whole. */
export function adapterPlan(adapter: WrittenAdapter, lineage: readonly LineageEntry[]): OutputPlan {
  const { modules, dtype, whole, magnitudes = new Map(), files = new Map() } = adapter;
  const info = (name: string, shape: readonly number[]): TensorInfo => ({
    ...{ name, dtype, shape },
    bytes: shape.reduce((all, side) => all * side, 1) * DTYPE_BYTES[dtype],
  });
  const factors = modules.flatMap((module) => {
    const [a, b] = factorNames(module);
    const window = module.inputs.slice(1).map(() => 1);
    return [info(a, [module.rank, ...module.inputs]), info(b, [module.out, module.rank, ...window])];
  });
  const adapted = new Set(modules.map(({ module }) => module));
  const others = [...whole].map(([name, { dtype, shape, bytes }]) => ({
    ...{ name: wholeName(adapted.has(name.replace(/\.bias$/, "")) ? name.replace(/bias$/, "base_layer.bias") : name) },
    ...{ dtype, shape, bytes },
  }));
  const lengths = [...magnitudes].map(([module, { dtype, shape, bytes }]) => ({
    ...{ name: tensorName(module, "lora_magnitude_vector"), dtype, shape, bytes },
  }));
  const config = new TextEncoder().encode(`${JSON.stringify(configOf(adapter), null, 2)}\n`);
  return {
    tensors: [...factors, ...lengths, ...others],
    files: new Map([...files, ["adapter_config.json", config]]),
    lineage,
  };
}

/** Bytes of one rank more of a module. */
export const bytesPerRank = ({ inputs, out }: Pick<WrittenModule, "inputs" | "out">, dtype: Dtype): number =>
  (inputs.reduce((all, side) => all * side, 1) + out) * DTYPE_BYTES[dtype];
