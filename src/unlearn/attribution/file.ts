/**
 * A file of attributions: what a classifier says of points, and either how much every row adds to it, or what it would
 * say without certain rows. Points and rows are known by their digests.
 */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { writeArrays } from "../../checkpoint/write/write-arrays.ts";
import type { Example } from "../../data/examples.ts";
import { DIGEST, rowDigest } from "../../data/row-digest.ts";
import { UserError } from "../../errors.ts";

export interface Attribution {
  /** Digests of points, and what the model says of each (P, C). */
  readonly points: readonly string[];
  readonly outputs: Float32Array;
  readonly classes: number;
  /** Of rows: what each adds to the outputs, (rows, P, C). Of a forget set: the outputs without it, (P, C). */
  readonly of:
    | { readonly kind: "rows"; readonly rows: readonly string[]; readonly effects: Float32Array }
    | { readonly kind: "forget"; readonly rows: readonly string[]; readonly without: Float32Array };
}

const digests = (rows: readonly string[]): Uint8Array => new Uint8Array(Buffer.from(rows.join(""), "hex"));

/** Writes it; gives the bytes. */
export async function writeAttribution(
  { points, outputs, classes, of }: Attribution,
  out: string,
  lineage: readonly LineageEntry[],
): Promise<number> {
  const { length } = of.rows;
  return writeArrays(
    out,
    [
      { name: "points", shape: [points.length, DIGEST], values: digests(points) },
      { name: "outputs", shape: [points.length, classes], values: outputs },
      { name: of.kind, shape: [length, DIGEST], values: digests(of.rows) },
      of.kind === "rows"
        ? { name: "effects", shape: [length, points.length, classes], values: of.effects }
        : { name: "without", shape: [points.length, classes], values: of.without },
    ],
    lineage,
  );
}

/** Reads it. Throws UserError where the file holds something else. */
export async function readAttribution(file: string): Promise<Attribution> {
  const opened = await openPlain(file);
  try {
    const odd = () => new UserError(`${file} holds no attributions`, "name what unlearn attribute wrote");
    const read = async (name: string, dtype: string) => {
      const entry = opened.tensors.get(name);
      if (entry?.dtype !== dtype) throw odd();
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      return bytes;
    };
    const names = async (name: string) => {
      const bytes = await read(name, "U8");
      return Array.from({ length: bytes.length / DIGEST }, (_, i) =>
        Buffer.from(bytes.subarray(i * DIGEST, (i + 1) * DIGEST)).toString("hex"),
      );
    };
    const floats = async (name: string, count: number) => {
      const values = Float32Array.from(decodeFloats(await read(name, "F32"), "F32"));
      if (values.length !== count || !values.every(Number.isFinite)) throw odd();
      return values;
    };
    const points = await names("points");
    const classes = opened.tensors.get("outputs")?.shape[1] ?? 0;
    const outputs = await floats("outputs", points.length * classes);
    if (opened.tensors.has("rows")) {
      const rows = await names("rows");
      const effects = await floats("effects", rows.length * outputs.length);
      return { points, outputs, classes, of: { kind: "rows", rows, effects } };
    }
    const rows = await names("forget");
    return { points, outputs, classes, of: { kind: "forget", rows, without: await floats("without", outputs.length) } };
  } finally {
    opened.close();
  }
}

/** Outputs of every point, by its digest, without the rows to forget. Throws UserError for rows that are not known. */
export function outputsWithout(
  { points, outputs, classes, of }: Attribution,
  forget: readonly Example[],
  ref: string,
): Map<string, Float32Array> {
  const gone = forget.map(rowDigest);
  const whole = of.kind === "forget" ? of.without : outputs.slice();
  if (of.kind === "forget") {
    if (gone.toSorted().join() !== of.rows.toSorted().join())
      throw new UserError(
        `${ref} says what a model without ${of.rows.length} other rows would say`,
        "give attribute and unlearn the same --forget",
      );
  } else {
    const places = new Map<string, number[]>();
    for (const [row, digest] of of.rows.entries()) places.set(digest, [...(places.get(digest) ?? []), row]);
    for (const [i, digest] of gone.entries()) {
      const row = places.get(digest)?.pop();
      if (row === undefined)
        throw new UserError(
          `${forget[i]!.place}: ${ref} knows no such row among those that were learnt`,
          "give attribute all rows of --forget in --data",
        );
      for (let at = 0; at < whole.length; at++) whole[at]! -= of.effects[row * whole.length + at]!;
    }
  }
  return new Map(points.map((digest, p) => [digest, whole.slice(p * classes, (p + 1) * classes)]));
}
