/**
 * All that a server knows, as parts of bytes: a text that names what follows, all numbers (f64, little-endian), and
 * each tensor (f32, little-endian). Every bit is kept, also of what no text can say: -0 and what is not finite.
 */
import { UserError } from "../../errors.ts";
import { decodeText, isObject, type Json, type JsonObject, parseJson } from "../../json.ts";
import type { Parcel, Tensors } from "./contract.ts";
import type { ServerState } from "./server.ts";
import { bytesOf } from "./tensors.ts";

const namesOf = ({ tensors, numbers }: Parcel) => ({ tensors: [...tensors.keys()], numbers: Object.keys(numbers) });

/** `besides` is what the caller keeps with it; JSON. */
export function encodeServerState({ round, global, kept, told }: ServerState, besides: object): Uint8Array[] {
  const header = { round, global: [...global.keys()], kept: namesOf(kept), told: namesOf(told), besides };
  const numbers = Float64Array.from([...Object.values(kept.numbers), ...Object.values(told.numbers)]);
  const tensors = [global, kept.tensors, told.tensors].flatMap((each) => [...each.values()]);
  return [new TextEncoder().encode(JSON.stringify(header)), new Uint8Array(numbers.buffer), ...tensors.map(bytesOf)];
}

const isTexts = (value: Json | undefined): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

/** Throws UserError that begins with `what` for other parts than `encodeServerState` gives. */
export function decodeServerState(
  [text, numbers, ...values]: readonly Uint8Array[],
  what: string,
): { readonly state: ServerState; readonly besides: JsonObject } {
  const damaged = () => new UserError(`${what} is none of a server`, "all who take part need the same version");
  if (!text || !numbers || numbers.length % 8 !== 0 || values.some(({ length }) => length % 4 !== 0)) throw damaged();
  const header = parseJson(decodeText(text, what), what).value;
  if (!isObject(header) || typeof header.round !== "number" || !isObject(header.besides)) throw damaged();
  const doubles = new Float64Array(new Uint8Array(numbers).buffer);
  let [nextNumber, nextTensor] = [0, 0];
  const tensorsOf = (names: Json | undefined): Tensors => {
    if (!isTexts(names) || nextTensor + names.length > values.length) throw damaged();
    return new Map(names.map((name) => [name, new Float32Array(new Uint8Array(values[nextTensor++]!).buffer)]));
  };
  const parcelOf = (names: Json | undefined): Parcel => {
    if (!isObject(names) || !isTexts(names.numbers) || nextNumber + names.numbers.length > doubles.length)
      throw damaged();
    const own = Object.fromEntries(names.numbers.map((name) => [name, doubles[nextNumber++]!]));
    return { tensors: tensorsOf(names.tensors), numbers: own };
  };
  const global = tensorsOf(header.global);
  const kept = parcelOf(header.kept);
  const told = parcelOf(header.told);
  if (nextNumber !== doubles.length || nextTensor !== values.length) throw damaged();
  return { state: { round: header.round, global, kept, told }, besides: header.besides };
}
