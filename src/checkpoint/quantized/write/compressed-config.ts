/** What config.json says of layouts of compressed-tensors, as vLLM and transformers read it. */
import type { JsonObject } from "../../../json.ts";
import { COMPRESSED_TENSORS } from "../compressed-tensors.ts";
import { bySchemes, type MatrixScheme, moduleOf } from "./contract.ts";

export interface CompressedForm {
  readonly format: string;
  readonly type: "int" | "float";
  /** How activations are rounded as they come: engines run codes of 8 bits per value only with activations of 8. */
  readonly activations?: "dynamic";
  /** Word for groups, where it is not "group". */
  readonly strategy?: string;
}

function weightsOf(scheme: MatrixScheme, { type, strategy = "group" }: CompressedForm): JsonObject {
  const { group } = scheme;
  return {
    num_bits: scheme.bits,
    type,
    symmetric: scheme.points === "middle",
    strategy: group === "tensor" ? "tensor" : group === "row" ? "channel" : strategy,
    group_size: typeof group === "number" ? group : null,
    dynamic: false,
    observer: "minmax",
    observer_kwargs: {},
    block_structure: null,
    actorder: scheme.reordered ? "group" : null,
  };
}

const activationsOf = ({ type, activations }: CompressedForm): JsonObject | null =>
  activations === undefined ? null : { num_bits: 8, type, strategy: "token", symmetric: true, dynamic: true };

/** One group of the config per scheme; the only one is for all linear layers that are not ignored. */
export function compressedConfig(
  form: CompressedForm,
  weights: ReadonlyMap<string, MatrixScheme>,
  ignored: readonly string[],
): JsonObject {
  const schemes = bySchemes(weights);
  const groups = schemes.map(([scheme, modules], k): [string, JsonObject] => [
    `group_${k}`,
    {
      targets: schemes.length === 1 ? ["Linear"] : modules,
      weights: weightsOf(scheme, form),
      input_activations: activationsOf(form),
      output_activations: null,
    },
  ]);
  return {
    quantization_config: {
      quant_method: COMPRESSED_TENSORS,
      format: form.format,
      quantization_status: "compressed",
      global_compression_ratio: null,
      ignore: ignored.map(moduleOf),
      kv_cache_scheme: null,
      config_groups: Object.fromEntries(groups),
    },
  };
}
