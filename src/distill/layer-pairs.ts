/** Pairs of layers of student and teacher, as `--layers` names them. */
import { UserError } from "../errors.ts";
import { add, scale } from "../tensor/ops/elementwise.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { repeated } from "../text/repeated.ts";

export type Layer = number | "last";

/**
 * Reads pairs student:teacher. Throws UserError for a text that is not a list of pairs.
 *
 *   layerPairs("2:4,last:last"); // [[2, 4], ["last", "last"]]
 */
export function layerPairs(text: string): [Layer, Layer][] {
  const pairs = text.split(",").map((pair) => pair.replaceAll(/\s/g, ""));
  const twice = repeated(pairs);
  if (twice !== undefined) throw new UserError(`--layers names ${twice} twice`, "name it once");
  return pairs.map((pair) => {
    const layers = pair.split(":");
    if (layers.length !== 2 || layers.some((layer) => !/^(last|\d+)$/.test(layer)))
      throw new UserError(
        `--layers: ${JSON.stringify(pair)} is not a pair of layers`,
        "write student:teacher, such as --layers 2:4,last:last",
      );
    return layers.map((layer): Layer => (layer === "last" ? layer : Number(layer))) as [Layer, Layer];
  });
}

/** Mean over the pairs of their losses: (n) each -> (n). */
export const meanOfPairs = (rec: Recorder, losses: readonly Tensor[]): Tensor =>
  scale(
    rec,
    losses.reduce((a, b) => add(rec, a, b)),
    1 / losses.length,
  );
