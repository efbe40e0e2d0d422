/**
 * LoRA: y = W x + s B A x with W frozen, A (r, in) drawn and B (out, r) zero, s = alpha / r.
 *
 * Hu et al., ICLR 2022, https://arxiv.org/abs/2106.09685. Its settings are --lora-rank, --lora-alpha, --lora-targets
 * and --lora-dropout; `--lora` is short for it.
 */
import { LORA } from "../lora/type.ts";

export const method = LORA;
