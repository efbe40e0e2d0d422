/**
 * The table of learnt coefficients, as JSON: beside a result, in its lineage, and as what a later merge takes. Numbers
 * are written in full, so that a merge with the table has the same bytes.
 */
import { readFileSync } from "node:fs";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject, parseJson } from "../../json.ts";
import type { Group } from "./groups.ts";

/** Name of the file in the folder of a result. */
export const TABLE_FILE = "merge_coefficients.json";

export interface CoefficientTable {
  readonly method: string;
  /** The option that took the coefficients. */
  readonly option: string;
  readonly granularity: string;
  readonly steps: number;
  /** Mean loss of each task over the first and the last tenth of the steps; absent without steps. */
  readonly loss?: Readonly<Record<string, { readonly first: number; readonly last: number }>>;
  /** Names of the models, in order. */
  readonly models: readonly string[];
  /** By group of tensors: a number for each model. */
  readonly coefficients: Readonly<Record<string, readonly number[]>>;
}

/** The table of (groups, models) coefficients. */
export function byGroup(groups: readonly Group[], models: number, values: Float64Array): Record<string, number[]> {
  return Object.fromEntries(groups.map(({ name }, g) => [name, [...values.subarray(g * models, (g + 1) * models)]]));
}

/** Mean losses of the first and the last tenth of the steps, by task. */
export function lossEnds(names: readonly string[], losses: readonly (readonly number[])[]): CoefficientTable["loss"] {
  if (losses.length === 0) return undefined;
  const part = Math.max(1, Math.floor(losses.length / 10));
  const mean = (rows: readonly (readonly number[])[], k: number) =>
    rows.reduce((sum, row) => sum + row[k]!, 0) / rows.length;
  return Object.fromEntries(
    names.map((name, k) => [name, { first: mean(losses.slice(0, part), k), last: mean(losses.slice(-part), k) }]),
  );
}

/** Bytes of the file. */
export const encodeTable = (table: CoefficientTable): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(table, null, 2)}\n`);

const fail = (file: string, what: string) =>
  new UserError(`${file}: ${what}`, `give the ${TABLE_FILE} of a merge with this method and as many models`);

/**
 * Reads a table's coefficients for these groups, (groups, models). Throws UserError when it is for another merge, or
 * has the same models in another order.
 */
export function readTable(
  file: string,
  method: string,
  groups: readonly Group[],
  names: readonly string[],
): Float64Array {
  const models = names.length;
  // As a lineage holds them: the numbers alone.
  if (file.startsWith("{")) {
    const { value } = parseJson(file, "--coefficients");
    if (isObject(value)) return valuesOf("--coefficients", value, groups, models);
  }
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`--coefficients ${file} cannot be read: ${(error as Error).message}`, "is the path right?");
  }
  const { value } = parseJson(text, file);
  if (!isObject(value) || !isObject(value.coefficients)) throw fail(file, "no table of coefficients");
  if (value.method !== method) throw fail(file, `coefficients of ${String(value.method)}, and the method is ${method}`);
  const values = valuesOf(file, value.coefficients, groups, models);
  const plain = (name: unknown): string => String(name).replace(/\/+$/, "");
  const [learnt, given] = [Array.isArray(value.models) ? value.models.map(plain) : [], names.map(plain)];
  const moved = learnt.findIndex((name, k) => name !== given[k] && given.includes(name));
  if (moved >= 0)
    throw new UserError(
      `${file}: model ${moved + 1} of the table is ${learnt[moved]}, and of this merge ${names[moved]}`,
      `give the models in the order of the table: ${learnt.join(" ")}`,
    );
  return values;
}

function valuesOf(file: string, rows: JsonObject, groups: readonly Group[], models: number): Float64Array {
  const values = new Float64Array(groups.length * models);
  for (const [g, { name }] of groups.entries()) {
    const row = rows[name];
    if (!Array.isArray(row)) throw fail(file, `no coefficients of ${name}`);
    const good = row.length === models && row.every((one) => typeof one === "number" && Number.isFinite(one));
    if (!good) throw fail(file, `${name} has ${JSON.stringify(row)}, expected ${models} numbers`);
    for (const [k, one] of row.entries()) values[g * models + k] = one as number;
  }
  const known = new Set(groups.map(({ name }) => name));
  const other = Object.keys(rows).find((name) => !known.has(name));
  if (other !== undefined) throw fail(file, `coefficients of ${other}, which this merge has no tensor of`);
  return values;
}
