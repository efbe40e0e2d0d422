/** Which type each tensor of a GGUF file gets, and what is said of those that get another than they were to have. */
import { UserError } from "../../../errors.ts";
import { show } from "../../../json.ts";
import type { TensorInfo } from "../../checkpoint.ts";
import type { MixedModel } from "./mixes.ts";
import { fitting, type TargetName } from "./targets.ts";
import { type TypeRules, typeChooser } from "./type-rules.ts";

/** The type that holds every value of a stored one. F64 alone is rounded. */
const OWN: Readonly<Record<string, TargetName>> = {
  F64: "f32",
  F32: "f32",
  F16: "f16",
  BF16: "bf16",
  F8_E4M3: "bf16",
  F8_E5M2: "bf16",
};

/** llama.cpp computes with norms, biases and routers in f32, whatever the file's type. */
const staysF32 = (name: string, sides: number): boolean =>
  sides < 2 || /\.ffn_gate_inp(_shexp)?\.weight$|_norm\.weight$/.test(name);

/** Types of tensors, one call for each. */
export class TypePlan {
  readonly #choose: ReturnType<typeof typeChooser>;
  readonly #replaced = new Map<string, string[]>();
  #rounded = 0;

  constructor(rules: TypeRules, model: MixedModel) {
    this.#choose = typeChooser(rules, model);
  }

  /** The type of the stored tensor `name`, which `tensor` is or is a part of. Throws UserError for integers. */
  typeOf(name: string, tensor: TensorInfo): TargetName {
    const own = OWN[tensor.dtype];
    if (own === undefined) {
      throw new UserError(
        `tensor ${show(tensor.name)} is ${tensor.dtype}, which a weight of a GGUF file cannot be`,
        "write x.safetensors or a folder instead",
      );
    }
    if (tensor.dtype === "F64") this.#rounded++;
    if (staysF32(name, tensor.shape.length)) return "f32";
    const wanted = this.#choose.of(name, tensor.name) ?? own;
    const found = fitting(wanted, tensor.shape.at(-1)!);
    if (found !== wanted) {
      const key = `${found} instead of ${wanted}`;
      this.#replaced.set(key, [...(this.#replaced.get(key) ?? []), name]);
    }
    return found;
  }

  /** Says what became of the wishes. Throws UserError for a pattern that met nothing. */
  finish(warn: (message: string) => void): void {
    this.#choose.finish("blk.0.ffn_down.weight");
    if (this.#rounded > 0) warn(`${this.#rounded} tensors of F64 are rounded to f32: llama.cpp reads no F64`);
    for (const [what, all] of this.#replaced) {
      const names = [...new Set(all)];
      const shown =
        names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
      warn(`rows that are no multiple of a block: ${what} for ${shown}`);
    }
  }
}
