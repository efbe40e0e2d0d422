/** `adapt assign`: which adapter of a codebook a task goes to, or whether it needs a new one, by how its texts read. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { parseColumns } from "../../data/columns.ts";
import { readRows } from "../../data/read-rows.ts";
import type { Row, Said } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import { assignTask, nextName, readCodebook } from "../growth/codebook.ts";
import type { ASSIGN } from "../options.ts";

const textOf = (said: Said): string | undefined =>
  typeof said === "string" ? said : said.find(({ role }) => role === "user")?.content;

/** What a row asks: its prompt, the first thing that a user says, or its text. */
function askedIn(row: Row): string | undefined {
  if (row.form === "text") return row.text;
  if (row.form === "messages") return textOf(row.messages);
  if (row.form === "pair") return row.first;
  return "prompt" in row ? textOf(row.prompt) : undefined;
}

/** The first `most` texts of a file that differ. Throws UserError for a row without any, and for no rows. */
async function textsOf(path: string, { most, columns }: { most: number; columns: string | undefined }) {
  const found = new Set<string>();
  const source = columns === undefined ? path : { path, columns: parseColumns(columns) };
  for await (const { row, place } of readRows(source)) {
    const text = askedIn(row);
    if (text === undefined)
      throw new UserError(`${place}: the row has no prompt and no text`, "give rows of text, prompt or messages");
    found.add(text);
    if (found.size === most) break;
  }
  if (found.size === 0) throw new UserError(`${path} has no rows`, "give rows of the task");
  return [...found];
}

/** Runs the sub-command. */
export async function assign(context: Context<typeof ASSIGN>): Promise<Outcome> {
  const { options, args } = context;
  const [file] = args;
  const inputs = [...args, ...(options.codebook === undefined ? [] : [options.codebook])];
  const result = textResult(context, inputs);
  const codebook = options.codebook === undefined ? new Map<string, string[]>() : readCodebook(options.codebook);
  if (options.choose && codebook.size === 0)
    throw new UserError("--choose takes an adapter of a codebook, and there is none", "give --codebook FILE");
  if (options.name !== undefined && codebook.has(options.name))
    throw new UserError(`--name ${options.name}: the codebook has this adapter`, "take another name for a new one");
  const texts = await textsOf(file!, { most: options.texts, columns: options.columns });
  const name = options.name ?? nextName(codebook);
  const threshold = options.choose ? 0 : options.threshold;
  const found = assignTask(codebook, texts, { threshold, name });
  const { adapter, isNew, similarities } = found;
  const likeness = similarities[adapter];
  context.info(
    isNew ? `no adapter is alike enough: ${adapter} is new` : `${adapter} is most alike, ${likeness!.toFixed(4)}`,
  );
  const told = {
    adapter,
    is_new: isNew,
    similarities: Object.entries(similarities).map(([of, to]) => ({ adapter: of, similarity: to })),
  };
  const adapters = Array.from(options.choose ? codebook : found.codebook, ([name, texts]) => ({ name, texts }));
  return result(JSON.stringify({ ...told, adapters }, null, 2), told);
}
