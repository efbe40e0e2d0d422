/**
 * Values that belong to the weights of a model, out of a file: importances, masks. A tensor of the file has the name of
 * a tensor of the checkpoint, and its shape, or 1 in place of some dimensions: (rows, 1) is a value per row, (1,
 * columns) one per column, (1, 1) one for all. `evaluate --probe fisher` and `unlearn importance` write one of each.
 *
 * Host memory: a tensor of the file.
 */
import type { Checkpoint, TensorEntry } from "../../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../checkpoint/decode.ts";
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { sizeOf } from "../../../tensor/tensor.ts";

/** What is wanted of a file. */
export interface Wanted {
  /** "--softmask" */
  readonly flag: string;
  /** What its values are called: "masks". */
  readonly what: string;
  /** 0 when left out. */
  readonly least?: number;
  readonly most: number;
  readonly hint: string;
}

/** A tensor of the file, and which part of which weight it is of. */
export interface WeightValues {
  readonly entry: TensorEntry;
  readonly parameter: Parameter;
  /** First value of that part in the weight. */
  readonly start: number;
  /** Of that part. */
  readonly shape: readonly number[];
}

/** Of `unlearn importance`: how many rows were measured. */
const isCount = ({ name, dtype }: TensorEntry): boolean => name === "rows" && dtype === "I32";

/** By name: weights as they are trained, adapters' too, and tensors of the checkpoint. */
function placesOf(model: Model): Map<string, Omit<WeightValues, "entry">> {
  const whole = [...model.parameters.values(), ...model.trainable()];
  return new Map([
    ...[...model.stored, ...(model.adapter?.stored() ?? []).filter(({ joined }) => !joined)].map(
      ({ name, parameter, start, shape }) => [name, { parameter, start, shape }] as const,
    ),
    ...whole.map((parameter) => [parameter.name, { parameter, start: 0, shape: parameter.shape }] as const),
  ]);
}

const fits = (own: readonly number[], of: readonly number[]): boolean =>
  own.length === of.length && own.every((n, axis) => n === of[axis] || n === 1);

/**
 * The tensors of a file that are of weights that are trained; no value is read. Throws UserError for a tensor of
 * another model, and where none is of a trained weight.
 */
export function matchValues(model: Model, file: Checkpoint, { flag, what, hint }: Wanted): WeightValues[] {
  const places = placesOf(model);
  const trained = new Set(model.trainable());
  const found: WeightValues[] = [];
  for (const entry of file.tensors.values()) {
    if (isCount(entry)) continue;
    const place = places.get(entry.name);
    if (!place) throw new UserError(`${flag} ${file.ref}: the model has no weight ${entry.name}`, hint);
    if (!fits(entry.shape, place.shape))
      throw new UserError(
        `${flag} ${file.ref}: ${entry.name} is (${entry.shape.join(", ")}), and the weight is (${place.shape.join(", ")})`,
        "every dimension is that of the weight, or 1",
      );
    if (trained.has(place.parameter)) found.push({ entry, ...place });
  }
  if (found.length === 0) throw new UserError(`${flag} ${file.ref} has ${what} of no weight that is trained`, hint);
  return found;
}

/** The values of one tensor. Throws UserError for one that is not from 0 to the most. */
export async function readValues(
  { ref }: Checkpoint,
  { entry }: Pick<WeightValues, "entry">,
  { flag, what, least = 0, most, hint }: Wanted,
): Promise<Float32Array> {
  const bytes = new Uint8Array(entry.bytes);
  await entry.read(bytes, 0);
  if (!/^(F64|F32|F16|BF16)$/.test(entry.dtype))
    throw new UserError(`${flag} ${ref}: ${entry.name} is ${entry.dtype}, and ${what} are floats`, hint);
  const values = decodeFloats(bytes, entry.dtype);
  const odd = values.findIndex((value) => !(value >= least && value <= most && Number.isFinite(value)));
  if (odd >= 0)
    throw new UserError(
      `${flag} ${ref}: value ${odd} of ${entry.name} is ${values[odd]}; ${what} are ${
        Number.isFinite(most) ? `from 0 to ${most}` : Number.isFinite(least) ? "0 or more" : "finite"
      }`,
      hint,
    );
  return values;
}

/** Spreads values over a shape that they fit. */
export function spread(values: Float32Array, own: readonly number[], shape: readonly number[]): Float32Array {
  const strides = own.map((n, axis) => (n === 1 ? 0 : sizeOf(own.slice(axis + 1))));
  const into = new Float32Array(sizeOf(shape));
  for (let i = 0; i < into.length; i++) {
    let [rest, at] = [i, 0];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (rest % shape[axis]!) * strides[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    into[i] = values[at]!;
  }
  return into;
}
