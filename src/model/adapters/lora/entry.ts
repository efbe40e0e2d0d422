/** LoRA on one module. */
import type { Parameter } from "../../../tensor/parameter.ts";
import type { AdapterTensor } from "../live-adapter.ts";
import type { Target } from "../targets.ts";
import type { Pair } from "./factor-files.ts";

export interface LoraEntry {
  readonly kind: Target["kind"];
  /** (r, in); of experts (E, r, in), of an embedding (V, r). */
  readonly a: Parameter;
  /** (out, r); of experts (E, out, r). */
  readonly b: Parameter;
  /** A0 and -B0 of what is taken out of the base. */
  readonly frozen?: Pair | undefined;
  /** A and B as they are saved. */
  readonly files: readonly AdapterTensor[];
  /** (out): the bias c of B, which PEFT calls lora_bias. */
  readonly bBias?: Parameter;
  /** (out): DoRA's lengths. */
  readonly magnitude?: Parameter;
  readonly scale: number;
  readonly dropout: number;
}
