/** Options of `compress`, besides those of a method. */
import { dtypeWord } from "../checkpoint/dtype.ts";
import { GGUF } from "../checkpoint/gguf/write/options.ts";
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";

/** Rows that a model reads before it is changed. */
export const CALIBRATION = {
  calibration: {
    type: "string[]",
    help: "rows that the layers read while each is measured, name=path for each group",
    value: "FILE",
  },
  batch_size: { type: "number.integer >= 1", default: 8, help: "rows at once", value: "N" },
  ...READING,
} as const satisfies Options;

/** How a smaller checkpoint is written. */
export const WRITTEN = {
  out_dtype: {
    type: "'f32' | 'bf16' | 'f16'",
    spelling: dtypeWord,
    decides: "storage",
    help: "of matrices that are not kept as codes; as the model stores them when left out",
  },
  shards: { type: "number.integer >= 1", value: "N", help: "number of files in the output folder" },
  ...GGUF,
} as const satisfies Options;

export const COMPRESS = {
  prune: { type: "string", kind: "pruner", help: "set weights to zero" },
  sparsity: { type: "0 < number < 1", needs: "prune", help: "share of the weights of a layer that go", value: "S" },
  pattern: {
    type: "string",
    needs: "prune",
    help: "N:M keeps N of every M inputs of a row that follow one another: 2:4",
    value: "N:M",
  },
  quant: { type: "string", kind: "quantizer", help: "round weights to numbers of few bits" },
  bits: {
    type: "string[]",
    needs: "quant",
    help: "2 to 8, for all layers or by pattern: 4,*.down_proj.*=8; 4 when left out",
    value: "N",
  },
  plan: {
    type: "string",
    needs: "quant",
    help: "bits of each matrix, from compress search; --bits is of those that it does not name",
    value: "FILE",
  },
  group: {
    type: "number.integer >= -1",
    default: 128,
    needs: "quant",
    help: "inputs of a row that share a scale; -1: all of them",
    value: "N",
  },
  numbers: {
    type: "string",
    kind: "number-format",
    needs: "quant",
    help: "number format in the place of integers, which says bits and group too: nf4, fp8-e4m3, mxfp4, nvfp4",
  },
  symmetric: {
    type: "boolean",
    default: false,
    needs: "quant",
    help: "integers about zero, without zero points",
  },
  format: {
    type: "'auto' | 'dense' | 'compressed-tensors' | 'gptq' | 'gptq-v2' | 'awq' | 'mlx' | 'bnb-4bit' | 'bnb-int8'",
    default: "auto",
    needs: "quant",
    decides: "storage",
    help: "whose files: vLLM's (compressed-tensors), ...; dense: values again; auto: the first that holds the codes",
  },
  only: {
    type: "string[]",
    help: "matrices that are changed, by pattern; those of linear layers in blocks, but routers, when left out",
    value: "GLOB",
  },
  ignore: { type: "string[]", help: "matrices that stay as they are, by pattern", value: "GLOB" },
  ...CALIBRATION,
  stats: {
    type: "string",
    help: "what layers read, from evaluate gram, in the place of rows: of the model before any change",
    value: "FILE",
  },
  true_sequential: {
    type: "boolean",
    default: false,
    needs: "calibration",
    help: "measure layers of a block again behind those before them that are changed already",
  },
  dtype: {
    type: "'f32' | 'bf16' | 'keep'",
    default: "f32",
    spelling: dtypeWord,
    help: "type of weights in memory while rows are read",
  },
  ...WRITTEN,
  shard: {
    type: "string",
    value: "I/N",
    help: "write only the I-th of N files; other processes write the others",
  },
} as const satisfies Options;
