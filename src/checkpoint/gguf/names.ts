/** Tensors by their names in GGUF files and in Hugging Face's checkpoints, both ways. */
import { EXPERT, type GgufArchitecture } from "./architecture.ts";

const WHOLE: Readonly<Record<string, string>> = {
  "token_embd.weight": "model.embed_tokens.weight",
  "output_norm.weight": "model.norm.weight",
  "output.weight": "lm_head.weight",
};

const known = ({ biases = [] }: GgufArchitecture, stored: string, kind: string): boolean =>
  kind === "weight" || biases.includes(stored);

/** Hugging Face's name of a stored tensor; with EXPERT in it where one tensor holds all experts. */
export function huggingFaceName(name: string, architecture: GgufArchitecture): string | undefined {
  if (Object.hasOwn(WHOLE, name)) return WHOLE[name];
  const match = /^blk\.(\d{1,4})\.([a-z_]+)\.(weight|bias)$/.exec(name);
  if (match === null) return undefined;
  const [, layer, stored, kind] = match;
  if (!Object.hasOwn(architecture.block, stored!) || !known(architecture, stored!, kind!)) return undefined;
  return `model.layers.${Number(layer)}.${architecture.block[stored!]}.${kind}`;
}

/** Where a tensor of Hugging Face's goes: the stored name, and which expert of it. */
export interface GgufPlace {
  readonly name: string;
  readonly expert?: number;
}

/** Undoes `huggingFaceName`; undefined for a name that no stored tensor has. */
export function ggufPlace(name: string, architecture: GgufArchitecture): GgufPlace | undefined {
  for (const [stored, plain] of Object.entries(WHOLE)) if (plain === name) return { name: stored };
  const block = /^model\.layers\.(\d{1,4})\.(.+)\.(weight|bias)$/.exec(name);
  if (block === null) return undefined;
  const [, layer, inside, kind] = block;
  const expert = /\.experts\.(\d{1,5})\./.exec(inside!)?.[1];
  const wanted = expert === undefined ? inside : inside!.replace(`.experts.${expert}.`, `.experts.${EXPERT}.`);
  for (const [stored, plain] of Object.entries(architecture.block)) {
    if (plain !== wanted || !known(architecture, stored, kind!)) continue;
    const place = { name: `blk.${Number(layer)}.${stored}.${kind}` };
    return expert === undefined ? place : { ...place, expert: Number(expert) };
  }
  return undefined;
}
