/** Skill graphs as the user gives them. */
import { readFileSync } from "node:fs";
import { UserError } from "../errors.ts";
import { isObject, type Json } from "../json.ts";

const HINT = "make one: bun run curriculum graph";

function parse(source: string): Json {
  if (/^\s*[[{]/.test(source)) return JSON.parse(source);
  return JSON.parse(readFileSync(source, "utf8"));
}

/**
 * Reads --graph: a JSON file, or JSON itself, of a matrix or of an object with `groups` and `graph`. Row i, column j:
 * how much training on group i helps group j, in the order of `names`. Throws UserError when it is damaged or does not
 * name all groups.
 */
export function readGraph(source: string, names: readonly string[]): readonly (readonly number[])[] {
  let json: Json;
  try {
    json = parse(source);
  } catch (error) {
    throw new UserError(`--graph ${source} cannot be read: ${(error as Error).message}`, HINT);
  }
  const { groups, graph: matrix } = isObject(json) ? json : { graph: json };
  if (!isMatrix(matrix)) throw new UserError(`--graph ${source} holds no matrix of numbers`, HINT);
  if (!Array.isArray(groups)) return matrix;
  if (matrix.length !== groups.length || matrix.some((row) => row.length !== groups.length))
    throw new UserError(
      `--graph ${source} is ${matrix.length} x ${matrix[0]?.length ?? 0} but names ${groups.length} groups`,
      "one row and one column per group",
    );
  const places = names.map((name) => groups.indexOf(name));
  const missing = names.find((_, i) => places[i]! < 0);
  if (missing !== undefined)
    throw new UserError(`--graph ${source} does not know the group ${missing}`, `it knows ${groups.join(", ")}`);
  return places.map((i) => places.map((j) => matrix[i]![j]!));
}

const isMatrix = (value: Json | undefined): value is number[][] =>
  Array.isArray(value) && value.every((row) => Array.isArray(row) && row.every((x) => typeof x === "number"));
