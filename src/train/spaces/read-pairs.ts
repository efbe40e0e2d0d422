/** Rows of paired vectors. */
import { readValues } from "../../data/read-rows.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { Pairs } from "./align.ts";

const isVector = (value: Json | undefined): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((x) => typeof x === "number");

/** Reads {"a": [...], "b": [...]}. Throws UserError for other rows, for vectors of odd lengths, and for those of 0. */
export async function readPairs(file: string): Promise<Pairs> {
  const found: { readonly a: readonly number[]; readonly b: readonly number[] }[] = [];
  for await (const { value, place } of readValues(file)) {
    const [a, b] = isObject(value) ? [value.a, value.b] : [];
    if (!isVector(a) || !isVector(b))
      throw new UserError(`${place} has no two vectors`, 'rows are {"a": [0.1, 0.2], "b": [0.3, 0.4]}');
    const first = found[0] ?? { a, b };
    if (a.length !== first.a.length || b.length !== first.b.length)
      throw new UserError(
        `${place}: a has ${a.length} numbers and b ${b.length}; in the first row ${first.a.length} and ${first.b.length}`,
        "all vectors of a space are of one length",
      );
    if (![a, b].every((vector) => vector.some((x) => x !== 0)))
      throw new UserError(`${place}: a vector is 0 throughout, which has no direction`, "leave the row out");
    found.push({ a, b });
  }
  return {
    count: found.length,
    widths: { a: found[0]!.a.length, b: found[0]!.b.length },
    a: Float64Array.from(found.flatMap(({ a }) => a)),
    b: Float64Array.from(found.flatMap(({ b }) => b)),
  };
}
