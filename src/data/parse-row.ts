/** One row: from what a file holds to what it means. */
import { UserError } from "../errors.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";
import type { Columns } from "./columns.ts";
import { keysOf, kindOf } from "./row-fields.ts";
import type { RowFormat } from "./row-format.ts";
import { ROW_FORMATS, ROW_FORMS } from "./row-formats.ts";
import type { Row } from "./rows.ts";

/**
 * Reads one row. `columns` are those that `--columns` names (the row has the names already): where it has several
 * formats, one that uses a name is meant. Throws UserError that begins with `place` (file and line) and says what was
 * found.
 */
export function parseRow(value: Json, place: string, columns?: Columns): Row {
  if (!isObject(value)) {
    throw new UserError(`${place}: expected an object, found ${kindOf(value)}`, `a row holds ${ROW_FORMS}`);
  }
  const row = withoutNulls(value);
  const { needs, optional = [], numbered, read } = formatOf(row, place, columns);
  const isOptional = (key: string) => optional.includes(key) || numbered?.test(key) === true;
  const extra = Object.fromEntries(Object.entries(row).filter(([key]) => !needs.includes(key) && !isOptional(key)));
  return { ...read(row, place), extra };
}

/** Null means that a key is not there: tables and typed rows have every column in every row. */
const withoutNulls = (row: JsonObject): JsonObject =>
  Object.values(row).includes(null) ? Object.fromEntries(Object.entries(row).filter(([, x]) => x !== null)) : row;

function formatOf(row: JsonObject, place: string, columns: Columns | undefined): RowFormat {
  const fits = ({ needs }: RowFormat) => needs.every((key) => Object.hasOwn(row, key));
  const isNamed = ({ needs }: RowFormat) => needs.some((key) => columns!.has(key));
  const named = columns ? ROW_FORMATS.map((formats) => formats.filter((each) => isNamed(each) && fits(each))) : [];
  const found =
    named.find(({ length }) => length > 0) ?? ROW_FORMATS.map((f) => f.filter(fits)).find((f) => f.length > 0);
  const [format, other] = found ?? [];
  if (format === undefined) throw new UserError(`${place}: unknown row with ${keysOf(row)}`, adviceFor(row));
  if (other === undefined) return format;
  const names = `${format.needs.join(" and ")} as well as ${other.needs.join(" and ")}`;
  const option = format.needs.map((key) => `${key}=${key}`).join(",");
  throw new UserError(
    `${place}: the row has ${names}`,
    `keep the one that is meant and rename the other, or say which: --columns ${option}`,
  );
}

/** What may be meant by a row of unknown keys. */
function adviceFor(row: JsonObject): string {
  const forms = `a row holds ${ROW_FORMS}`;
  const texts = Object.keys(row).filter((key) => typeof row[key] === "string" && !/[,=]/.test(key));
  const lists = Object.keys(row).filter((key) => Array.isArray(row[key]) && (row[key] as Json[]).every(isObject));
  const guess =
    lists.length === 1
      ? `messages=${lists[0]}`
      : texts.length === 1
        ? `text=${texts[0]}`
        : `prompt=${texts[0] ?? "COLUMN"},completion=${texts[1] ?? "COLUMN"}`;
  return `${forms}; other columns are named so: --columns ${guess}`;
}
