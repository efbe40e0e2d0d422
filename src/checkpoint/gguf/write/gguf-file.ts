/** A checkpoint as one GGUF file, in the form that the writer of files takes. */
import { UserError } from "../../../errors.ts";
import type { OutputPlan, WeightsFile } from "../../write/shards.ts";
import { ggufEncoder } from "./encoder.ts";
import { layoutGguf } from "./layout.ts";
import { parseTypeRules } from "./type-rules.ts";

export interface GgufOptions {
  /** Parts of `--gguf-type`; each matrix keeps its type when left out. */
  readonly ggufType?: readonly string[];
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
  { ggufType = [], warn = () => {} }: GgufOptions,
  piped: boolean,
): WeightsFile {
  if (plan.files.has("adapter_config.json") && !plan.files.has("config.json")) {
    throw new UserError(
      `${name}: an adapter alone is not written as GGUF`,
      "write it to a folder, and merge it first: bun run merge base+adapter/ --method passthrough -o model.gguf",
    );
  }
  const layout = layoutGguf(plan, parseTypeRules(ggufType), warn);
  if (piped && !layout.inOrder) {
    throw new UserError(
      "a GGUF file holds all experts of a layer as one tensor, which cannot go through a pipe",
      "write it to a file: -o model.gguf",
    );
  }
  const { header, bytes } = layout;
  return { name, tensors: plan.tensors, header, bytes, encode: ggufEncoder(layout) };
}
