/** A checkpoint as one GGUF file, in the form that the writer of files takes. */
import { UserError } from "../../../errors.ts";
import type { OutputPlan, WeightsFile } from "../../write/shards.ts";
import { aligned, encodeGgufHeader, type GgufEntries } from "./encode-header.ts";
import { ggufEncoder } from "./encoder.ts";
import { Importances } from "./importance.ts";
import { layoutGguf } from "./layout.ts";
import { parseTypeRules } from "./type-rules.ts";

export interface GgufOptions {
  /** Parts of `--gguf-type`; each matrix keeps its type when left out. */
  readonly ggufType?: readonly string[];
  /** A file of `evaluate imatrix` or llama-imatrix, whose statistics weigh errors. */
  readonly ggufImatrix?: string;
  /** Hears what becomes of tensors, tokenizer and config that llama.cpp takes otherwise. */
  readonly warn?: (message: string) => void;
}

/**
 * Lays the file out; no weight is read. `piped`: bytes are gone once written. Throws UserError where a GGUF file cannot
 * hold the model, or the target cannot take it.
 */
export function ggufFile(
  plan: OutputPlan,
  name: string,
  { ggufType = [], ggufImatrix, warn = () => {} }: GgufOptions,
  piped: boolean,
): WeightsFile {
  if (plan.gguf !== undefined) return plainFile(plan, name, plan.gguf);
  if (plan.files.has("adapter_config.json") && !plan.files.has("config.json")) {
    throw new UserError(
      `${name}: an adapter without its base is not written as GGUF`,
      "merge it first: bun run merge base+adapter/ --method passthrough -o model.gguf; runs with --lora write adapters",
    );
  }
  const importances = ggufImatrix === undefined ? undefined : new Importances(ggufImatrix);
  const layout = layoutGguf(plan, { rules: parseTypeRules(ggufType), ...(importances && { importances }), warn });
  if (piped && !layout.inOrder) {
    throw new UserError(
      "a GGUF file holds all experts of a layer as one tensor, which cannot go through a pipe",
      "write it to a file: -o model.gguf",
    );
  }
  const { header, bytes } = layout;
  return { name, tensors: plan.tensors, header, bytes, encode: ggufEncoder(layout) };
}

/** Tensors of F32 as they stand, under metadata that are given. */
function plainFile({ tensors }: OutputPlan, name: string, entries: GgufEntries): WeightsFile {
  let offset = 0;
  const offsets = new Map<string, number>();
  for (const { name: tensor, bytes } of tensors) {
    offsets.set(tensor, offset);
    offset += aligned(bytes);
  }
  const lines = tensors.map((one) => ({ name: one.name, number: 0, shape: one.shape, offset: offsets.get(one.name)! }));
  const header = encodeGgufHeader(entries, lines);
  return {
    name,
    tensors,
    header,
    bytes: header.length + offset,
    *encode(tensor, from, bytes) {
      const begin = header.length + offsets.get(tensor.name)!;
      yield { bytes, at: begin + from };
      const padding = aligned(tensor.bytes) - tensor.bytes;
      if (padding > 0 && from + bytes.length === tensor.bytes) {
        yield { bytes: new Uint8Array(padding), at: begin + tensor.bytes };
      }
    },
  };
}
