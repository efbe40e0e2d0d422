/** The layouts that are written, by the names that options give them. */
import { layout as awq } from "./awq.ts";
import { layout as bitsandbytes4bit } from "./bitsandbytes-4bit.ts";
import { layout as bitsandbytesInt8 } from "./bitsandbytes-int8.ts";
import type { WriteLayout } from "./contract.ts";
import { layout as floatQuantized } from "./float-quantized.ts";
import { layout as gptq, second as gptqV2 } from "./gptq.ts";
import { layout as intQuantized } from "./int-quantized.ts";
import { layout as mlx } from "./mlx.ts";
import { layout as mxfp4 } from "./mxfp4-pack-quantized.ts";
import { layout as nvfp4 } from "./nvfp4-pack-quantized.ts";
import { layout as packQuantized } from "./pack-quantized.ts";

export const WRITE_LAYOUTS: readonly WriteLayout[] = [
  packQuantized,
  intQuantized,
  floatQuantized,
  nvfp4,
  mxfp4,
  gptq,
  gptqV2,
  awq,
  mlx,
  bitsandbytes4bit,
  bitsandbytesInt8,
];

export const writeLayout = (name: string): WriteLayout | undefined =>
  WRITE_LAYOUTS.find((layout) => layout.name === name);

/** The compressed-tensors layouts, of which one holds what a scheme says: what `vLLM` reads. */
export const COMPRESSED: readonly WriteLayout[] = [packQuantized, intQuantized, floatQuantized, nvfp4, mxfp4];
