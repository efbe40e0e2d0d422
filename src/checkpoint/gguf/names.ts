/** Architectures and tensors by their names in GGUF files and in Hugging Face's checkpoints, both ways. */

/** Stands in the name of a tensor for the number of an expert. */
export const EXPERT = "{expert}";

/** An architecture of GGUF files: what transformers calls it, and how its tensors are stored. */
export interface GgufArchitecture {
  /** `model_type` of config.json. */
  readonly type: string;
  readonly class: string;
  /** Rows of query and key weights are in llama.cpp's order of rotary pairs. */
  readonly reordered: boolean;
  /** Every feed-forward network has experts. */
  readonly experts?: true;
}

/** By `general.architecture`. llama.cpp calls Mistral models llama too; a few older files say mistral. */
export const ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: { type: "llama", class: "LlamaForCausalLM", reordered: true },
  mistral: { type: "mistral", class: "MistralForCausalLM", reordered: true },
  qwen2: { type: "qwen2", class: "Qwen2ForCausalLM", reordered: false },
  qwen3: { type: "qwen3", class: "Qwen3ForCausalLM", reordered: false },
  qwen3moe: { type: "qwen3_moe", class: "Qwen3MoeForCausalLM", reordered: false, experts: true },
};

/** The name that a file gets for a `model_type`: that of llama.cpp's converter. */
export function architectureOfType(modelType: string): string | undefined {
  if (modelType === "mistral") return "llama";
  return Object.keys(ARCHITECTURES).find((name) => ARCHITECTURES[name]!.type === modelType);
}

const WHOLE: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

const IN_BLOCK: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Of models with experts: the router, and one tensor for all experts of a block. */
const WITH_EXPERTS: Readonly<Record<string, string>> = {
  ffn_gate_inp: "mlp.gate",
  ffn_gate_exps: `mlp.experts.${EXPERT}.gate_proj`,
  ffn_up_exps: `mlp.experts.${EXPERT}.up_proj`,
  ffn_down_exps: `mlp.experts.${EXPERT}.down_proj`,
};

const namesIn = (experts: boolean) => (experts ? { ...IN_BLOCK, ...WITH_EXPERTS } : IN_BLOCK);

/** Hugging Face's name of a stored tensor; with EXPERT in it where one tensor holds all experts. */
export function huggingFaceName(name: string, experts = false): string | undefined {
  if (Object.hasOwn(WHOLE, name)) return WHOLE[name];
  const match = /^blk\.(\d{1,4})\.([a-z_]+)\.(weight|bias)$/.exec(name);
  const names = namesIn(experts);
  if (match === null || !Object.hasOwn(names, match[2]!)) return undefined;
  return `model.layers.${Number(match[1])}.${names[match[2]!]}.${match[3]}`;
}

/** Where a tensor of Hugging Face's goes: the stored name, and which expert of it. */
export interface GgufPlace {
  readonly name: string;
  readonly expert?: number;
}

/** Undoes `huggingFaceName`; undefined for a name that no stored tensor has. */
export function ggufPlace(name: string, experts = false): GgufPlace | undefined {
  for (const [stored, plain] of Object.entries(WHOLE)) if (plain === name) return { name: stored };
  const block = /^model\.layers\.(\d{1,4})\.(.+)\.(weight|bias)$/.exec(name);
  if (block === null) return undefined;
  const [, layer, inside, kind] = block;
  const expert = /\.experts\.(\d{1,5})\./.exec(inside!)?.[1];
  const wanted = expert === undefined ? inside : inside!.replace(`.experts.${expert}.`, `.experts.${EXPERT}.`);
  for (const [stored, plain] of Object.entries(namesIn(experts))) {
    if (plain !== wanted) continue;
    const place = { name: `blk.${Number(layer)}.${stored}.${kind}` };
    return expert === undefined ? place : { ...place, expert: Number(expert) };
  }
  return undefined;
}
