/**
 * What an architecture of GGUF files is: the names of its tensors and the metadata of its config, both ways. Names,
 * keys and order of rows are those of llama.cpp's converter; a file says less than a config, so that an architecture
 * refuses what its files cannot say. https://github.com/ggml-org/llama.cpp/tree/master/conversion
 */
import type { JsonObject } from "../../json.ts";
import type { GgufKeys } from "./keys.ts";
import type { Config } from "./write/config.ts";
import type { Put } from "./write/put.ts";

/** Stands in the name of a tensor for the number of an expert. */
export const EXPERT = "{expert}";

/** Sizes that most keys depend on. */
export interface GgufSizes {
  readonly width: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly headSize: number;
  readonly layers: number;
}

export interface GgufArchitecture {
  /** `general.architecture`, which its keys begin with. */
  readonly name: string;
  /** `model_type` of config.json, and the class of transformers. */
  readonly type: string;
  readonly class: string;
  /** Tensors of a block, all with a weight: name in the file, and name in the layer (EXPERT: one for each expert). */
  readonly block: Readonly<Record<string, string>>;
  /** Those that may have a bias beside the weight. */
  readonly biases?: readonly string[];
  /** Biases without which llama.cpp does not load a model. */
  readonly needs?: readonly string[];
  /** Keys of config.json that say whether a tensor has a bias. */
  readonly biasKeys?: Readonly<Record<string, string>>;
  /** Rows of query and key weights are in llama.cpp's order of rotary pairs. */
  readonly reordered?: true;
  /** Norms are stored as the gains that they are: 1 + w. */
  readonly plusOne?: true;
  /** `ffn_up` holds the rows of gate and up. */
  readonly twofold?: true;
  /** Norms are LayerNorms; RMSNorms when left out. */
  readonly layerNorm?: true;
  /** Gates go through tanh GELU; through SiLU when left out. */
  readonly gelu?: true;
  /** llama.cpp reads Llama 3's factors of the rotary frequencies. */
  readonly factors?: true;
  /** llama.cpp gives some layers the window that the config speaks of. */
  readonly windows?: true;
  /** What a config leaves out. */
  readonly defaults?: {
    readonly tied?: true;
    readonly headSize?: number;
    readonly keyHeads?: number;
    readonly theta?: number;
    readonly eps?: number;
    /** Share of a head that turns; only whole heads turn when left out. */
    readonly partial?: number;
  };
  /** Key of config.json with the number of experts, where every block has some. */
  readonly experts?: string;
  /** Whether a file of this name is of this architecture, where several have the name. */
  claims?(keys: GgufKeys): boolean;
  /** The config as far as it is about rotary positions, where a file says them otherwise. Throws UserError. */
  rotary?(config: Config): Config;
  /** Adds further keys. Throws UserError for what a file cannot say. */
  write?(config: Config, put: Put, sizes: GgufSizes): void;
  /** Keys of config.json that a file's metadata give beside those of all architectures. */
  read?(keys: GgufKeys, sizes: GgufSizes): JsonObject;
}
