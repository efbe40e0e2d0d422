/**
 * Hidden layers that are put before the head of a perceptron, as wide as the last one. They begin as the identity,
 * which a rectifier after a rectifier does not change, so that the model says what it said, bit for bit. In the result
 * they are layers like any other.
 */
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { ConfigChange } from "../../run/training/config-change.ts";
import type { Parameter } from "../../tensor/parameter.ts";

/** The config with `count` more hidden layers. Throws UserError for a model that takes none; `flag` asks for them. */
export const insertedLayers =
  (count: number, flag: string): ConfigChange =>
  (json, { ref }) => {
    const { model_type: type, hidden_sizes: given = [128], hidden_act: act = "relu" } = json;
    const sizes: readonly unknown[] = Array.isArray(given) ? given : [];
    const lacks =
      type !== "mlp"
        ? `is a ${type}`
        : act !== "relu"
          ? `has hidden_act ${act}`
          : sizes.length === 0
            ? "has no hidden layer"
            : (json.hidden_norm ?? "none") !== "none"
              ? `has hidden_norm ${json.hidden_norm}`
              : undefined;
    if (lacks)
      throw new UserError(
        `${flag} puts layers that begin as the identity before the head of an mlp with relu and no norms, and ${ref} ${lacks}`,
        "train such a model, or leave it out",
      );
    return { ...json, hidden_sizes: [...sizes, ...Array.from({ length: count }, () => sizes.at(-1))] };
  };

/** The weights of the last `count` hidden layers, which `begins` makes the identity. */
export function lastLayers(model: Model, count: number, begins: boolean): Parameter[] {
  const { layers, width } = model.sizes;
  return Array.from({ length: count }, (_, i) => `layers.${layers - count + i}`).flatMap((module) => {
    const [weight, bias] = [model.parameters.get(`${module}.weight`)!, model.parameters.get(`${module}.bias`)!];
    if (begins) {
      weight.write(Float32Array.from({ length: width * width }, (_, at) => (at % (width + 1) === 0 ? 1 : 0)));
      bias.write(new Float32Array(width));
    }
    return [weight, bias];
  });
}
