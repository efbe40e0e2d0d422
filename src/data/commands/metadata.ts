/**
 * `data metadata`: documents that say where they come from, as prompts that carry no loss. Gao et al. 2025 (MeCo),
 * https://arxiv.org/abs/2501.01956
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import { readJsonFile } from "../files/jsonl.ts";
import type { METADATA } from "../metadata/options.ts";
import { hashOf, Random } from "../random.ts";
import { kindOf, textAt } from "../row-fields.ts";

type MetadataContext = Context<typeof METADATA>;

const ROWS = "rows of text, or of prompt and completion, as JSON lines";

/** The metadata of a row, as they are written. */
function markOf({ options, seed }: MetadataContext, row: JsonObject, place: string): string {
  const { field, constant, written_as: how } = options;
  const value = constant ?? row[field!];
  if (typeof value !== "string" && typeof value !== "number")
    throw new UserError(`${place}: ${field} should be a text, found ${kindOf(value)}`, "name another key with --field");
  const text = String(value);
  if (how === "value") return text;
  if (how === "id") return hashOf(`${seed}\0${text}`).toString(16).padStart(16, "0").slice(0, 8);
  const address = text.includes("://") ? text : `https://${text}`;
  if (!URL.canParse(address)) throw new UserError(`${place}: ${text} is no address`, "leave out --written-as host");
  return new URL(address).hostname;
}

/** The row behind its metadata, which are a prompt and so carry no loss. */
function marked(row: JsonObject, mark: string, place: string): JsonObject {
  if ("text" in row) {
    const { text: _, ...others } = row;
    return { ...others, prompt: mark, completion: textAt(row, "text", place) };
  }
  textAt(row, "completion", place);
  return { ...row, prompt: mark + textAt(row, "prompt", place) };
}

export async function metadata(context: MetadataContext): Promise<Outcome> {
  const { options, args, seed, signal } = context;
  const { part, cooldown, layout } = options;
  if ((options.field === undefined) === (options.constant === undefined))
    throw new UserError("metadata come from --field or from --constant", "give one of the two");
  if (!layout.includes("{v}")) throw new UserError(`--layout ${layout} has no {v}`, 'for example "URL: {v}\\n\\n"');
  const file = args[0] ?? "-";
  const result = textResult(context, [file]);
  const lines: string[] = [];
  let rows = 0;
  for await (const { value, place } of readJsonFile(file, { hint: ROWS })) {
    signal.throwIfAborted();
    if (!isObject(value)) throw new UserError(`${place}: expected an object`, ROWS);
    // Which part a row belongs to follows from the seed and its place, so that both parts share none.
    const isPlain = new Random(seed, "metadata", rows++).uniform() < cooldown;
    if (part === "plain" && isPlain) lines.push(JSON.stringify(value));
    if (part === "all" || (part === "marked" && !isPlain))
      lines.push(JSON.stringify(marked(value, layout.replaceAll("{v}", markOf(context, value, place)), place)));
  }
  const about = { rows, written: lines.length };
  if (context.dryRun) {
    context.json(about);
    context.print(`${lines.length} of ${rows} rows`);
    return {};
  }
  return result(lines.join("\n"), about);
}
