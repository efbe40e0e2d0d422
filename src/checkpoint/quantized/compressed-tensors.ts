/** What the layouts of compressed-tensors share: their place in the config, and what no decoder of them reads. */
import { isObject, type JsonObject, show } from "../../json.ts";
import { refusal, type Stored } from "./contract.ts";

/** `quant_method` of all of them. */
export const COMPRESSED_TENSORS = "compressed-tensors";

/** The `weights` of every group of the config. */
export function weightSchemes({ settings }: Stored): JsonObject[] {
  const groups = isObject(settings?.config_groups) ? Object.values(settings.config_groups) : [];
  return groups.flatMap((group) => (isObject(group) && isObject(group.weights) ? [group.weights] : []));
}

/** Positive integers under one key of the schemes. */
export const schemeNumbers = (stored: Stored, key: string): number[] =>
  weightSchemes(stored).flatMap(({ [key]: value }) =>
    Number.isSafeInteger(value) && (value as number) > 0 ? [value as number] : [],
  );

/** Group sizes of the schemes; undefined when the config has no schemes. */
export const schemeGroups = (stored: Stored): number[] | undefined =>
  weightSchemes(stored).length === 0 ? undefined : schemeNumbers(stored, "group_size");

/** Rows and columns of blocks, where one scheme states them. */
export function schemeBlock(stored: Stored): [number, number] | undefined {
  for (const { block_structure: block } of weightSchemes(stored)) {
    const sizes = Array.isArray(block) ? block : typeof block === "string" ? block.split("x").map(Number) : [];
    const [rows, columns] = sizes;
    if (Number.isSafeInteger(rows) && Number.isSafeInteger(columns) && Number(rows) > 0 && Number(columns) > 0) {
      return [Number(rows), Number(columns)];
    }
  }
  return undefined;
}

/** Sparse codes and rotated weights are not the weights times a scale. Throws UserError. */
export function refuseTransforms(stored: Stored): void {
  const { sparsity_config: sparsity, transform_config: transform } = stored.settings ?? {};
  const hint = "dequantize it with compressed-tensors first, or use the model it was quantized from";
  const format = isObject(sparsity) ? sparsity.format : undefined;
  if (typeof format === "string" && format !== "dense") {
    throw refusal(stored, COMPRESSED_TENSORS, `its weights are sparse (${show(format)}), which no decoder reads`, hint);
  }
  if (isObject(transform) && isObject(transform.config_groups) && Object.keys(transform.config_groups).length > 0) {
    throw refusal(
      stored,
      COMPRESSED_TENSORS,
      "its weights are rotated (transform_config), which no decoder undoes",
      hint,
    );
  }
}
