/**
 * `data numeric`: rows of a text and a number as prompts that ask for either. Born & Manica 2023,
 * https://arxiv.org/abs/2202.01338
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import { readJsonFile } from "../files/jsonl.ts";
import { numberRow, parseDigits, readNumber, spellNumber, textRow } from "../numeric/numerals.ts";
import type { NUMERIC } from "../numeric/options.ts";
import { kindOf, textAt } from "../row-fields.ts";

/** Runs the sub-command. */
export async function numeric(context: Context<typeof NUMERIC>): Promise<Outcome> {
  const { options, args, signal } = context;
  const { property, of, ask, tag = `<${property}>` } = options;
  const digits = parseDigits(options.digits, "--digits");
  const hint = `rows with ${of} and ${property}, as JSON lines`;
  if (tag === "") throw new UserError("--tag is empty", "it tells a number from a text");
  const file = args[0] ?? "-";
  const result = textResult(context, [file]);
  const lines: string[] = [];
  let rounded = 0;
  for await (const { value: row, place } of readJsonFile(file, { hint })) {
    signal.throwIfAborted();
    if (!isObject(row)) throw new UserError(`${place}: expected an object`, hint);
    const value = row[property];
    if (typeof value !== "number")
      throw new UserError(`${place}: ${property} should be a number, found ${kindOf(value)}`, "name it by --property");
    const text = textAt(row, of, place, "name another key with --of");
    const spelt = spellAt(place, value, digits);
    if (readNumber(spelt) !== value) rounded++;
    lines.push(JSON.stringify({ ...(ask === "number" ? numberRow : textRow)(text, tag, spelt), [property]: value }));
  }
  if (lines.length === 0) throw new UserError(`${file} has no rows`, hint);
  if (rounded > 0)
    context.warn(`${rounded} of ${lines.length} numbers have more than ${digits.decimals} decimals: they are rounded`);
  const about = { rows: lines.length, rounded, ask, tag };
  if (!context.dryRun) return result(lines.join("\n"), about);
  context.json(about);
  context.print(`${lines.length} rows that ask for the ${ask}`);
  return {};
}

function spellAt(place: string, value: number, digits: Parameters<typeof spellNumber>[1]): string {
  try {
    return spellNumber(value, digits);
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`${place}: ${error.message}`, error.hint);
    throw error;
  }
}
