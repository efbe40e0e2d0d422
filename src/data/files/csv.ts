/**
 * Tables of texts, comma- or tab-separated (RFC 4180), with the names of the columns in the first line.
 *
 * A cell is a text as it stands, and an empty one is absent. Under names whose values are lists or numbers (`messages`,
 * `input_ids`, `label`) a cell holds JSON.
 */
import type { Info, Options } from "csv-parse";
import { UserError } from "../../errors.ts";
import { type Json, show } from "../../json.ts";
import { library } from "../../library.ts";
import { NUMERIC, STRUCTURED } from "../row-formats.ts";
import { type LocatedValue, MAX_ROW, parseRecord } from "./record.ts";

interface CsvLibrary {
  parse(
    options: Options,
  ): NodeJS.ReadWriteStream & AsyncIterable<{ record: string[]; info: Info }> & { destroy(): void };
}

const utf8 = new TextEncoder();

/** Whether a name says that a file is such a table, and of which kind. */
export const delimiterOf = (name: string): string | undefined => {
  const [, ending] = /\.(csv|tsv)(?:\.(?:gz|zst))?$/i.exec(name) ?? [];
  return ending === undefined ? undefined : ending.toLowerCase() === "csv" ? "," : "\t";
};

/** The rows; a place is file and row, counted from 1 below the names. Throws UserError that begins with it. */
export async function* readTable(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
  delimiter: string,
  maxRowBytes = MAX_ROW,
): AsyncGenerator<LocatedValue> {
  const { parse } = await library<CsvLibrary>("csv-parse", `${what}, a table,`);
  const parser = parse({ bom: true, delimiter, info: true, max_record_size: maxRowBytes, skip_empty_lines: true });
  void feed(parser, chunks, what);
  let names: string[] | undefined;
  let row = 0;
  try {
    for await (const { record } of parser) {
      if (!names) names = checkedNames(record, what);
      else yield rowOf(names, record, `${what}: row ${++row}`);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${what} cannot be read as a table: ${show((error as Error).message)}`,
      'a cell that holds quotes, line ends or separators stands in quotes: "She said ""yes"""',
    );
  } finally {
    parser.destroy();
  }
}

/** Gives text to the parser as fast as it takes it; an error ends the parser. */
async function feed(parser: ReturnType<CsvLibrary["parse"]>, chunks: AsyncIterable<Uint8Array>, what: string) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode();
    } catch {
      throw new UserError(`${what} is not valid UTF-8`, "save it as UTF-8");
    }
  };
  try {
    for await (const chunk of chunks) {
      if (!parser.writable) return;
      if (!parser.write(decode(chunk)))
        await new Promise((resolve) => parser.once("drain", resolve).once("close", resolve));
    }
    decode();
    parser.end();
  } catch (error) {
    parser.emit("error", error);
  }
}

function checkedNames(names: string[], what: string): string[] {
  if (names.length === 1 && /^[\w ]+(?:([;\t,|])[\w ]+)(?:\1[\w ]+)*$/.test(names[0]!))
    throw new UserError(
      `${what} has one column, ${show(names[0]!)}`,
      "columns are separated by commas in .csv, and by tabs in .tsv",
    );
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new UserError(
      `${what} has two columns named ${show(twice)}`,
      "the first line holds the names of the columns",
    );
  return names;
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

function rowOf(names: readonly string[], cells: readonly string[], place: string): LocatedValue {
  const filled = names.flatMap((name, i): [string, Json][] => {
    const cell = cells[i]!;
    if (cell === "") return [];
    if (NUMERIC.has(name) && NUMBER.test(cell)) return [[name, Number(cell)]];
    if (!STRUCTURED.has(name)) return [[name, cell]];
    const value = parseRecord(utf8.encode(cell), `${place}: ${name}`)?.value;
    return value === undefined ? [] : [[name, value]];
  });
  return { value: Object.fromEntries(filled), place };
}
