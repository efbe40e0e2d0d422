/** The layouts that are decoded, in the order in which a tensor is offered to them. */
import { layout as awq } from "./awq.ts";
import { layout as bitsandbytes4bit } from "./bitsandbytes-4bit.ts";
import { layout as bitsandbytesInt8 } from "./bitsandbytes-int8.ts";
import { layout as compressedBytes } from "./compressed-bytes.ts";
import { layout as compressedPacked } from "./compressed-packed.ts";
import type { Layout } from "./contract.ts";
import { layout as fp8 } from "./fp8.ts";
import { layout as gptq } from "./gptq.ts";
import { layout as mlx } from "./mlx.ts";
import { layout as mxfp4 } from "./mxfp4.ts";
import { layout as mxfp4Packed } from "./mxfp4-packed.ts";
import { layout as nvfp4 } from "./nvfp4.ts";

export const LAYOUTS: readonly Layout[] = [
  fp8,
  compressedBytes,
  compressedPacked,
  mxfp4Packed,
  nvfp4,
  gptq,
  awq,
  bitsandbytes4bit,
  bitsandbytesInt8,
  mxfp4,
  mlx,
];
