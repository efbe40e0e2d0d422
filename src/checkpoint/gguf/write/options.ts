/** The option of every script that writes checkpoints and so GGUF files. */
import type { Options } from "../../../method/options.ts";

export const GGUF = {
  gguf_type: {
    type: "string[]",
    decides: "storage",
    help: "types in an -o x.gguf: q8_0, a mix as q4_k_m, or q4_k,*.ffn_down.*=q6_k by pattern; each matrix keeps its own when left out",
    value: "TYPE",
  },
  gguf_imatrix: {
    type: "string",
    decides: "storage",
    needs: "gguf_type",
    help: "importance matrix of evaluate imatrix or llama-imatrix, by which an -o x.gguf of few bits weighs errors",
    value: "FILE",
  },
} as const satisfies Options;
