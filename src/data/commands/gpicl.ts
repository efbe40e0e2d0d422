/** `data gpicl`: a data set as a stream of random tasks, whose rows hold their own examples. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import type { GPICL } from "../in-context/options.ts";
import { type Example, InContextTasks } from "../in-context/tasks.ts";
import { readRows } from "../read-rows.ts";

/** Rows of numbers and classes. Throws UserError for others, and for widths that differ. */
async function readExamples(file: string): Promise<Example[]> {
  const examples: Example[] = [];
  for await (const { row, place } of readRows({ path: file })) {
    if (row.form !== "example" || row.label < 0)
      throw new UserError(
        `${place}: expected x and label, found a row of ${row.form}`,
        "bun run data blobs makes such",
      );
    const [first] = examples;
    if (first && first.x.length !== row.x.length)
      throw new UserError(`${place}: the example has ${row.x.length} numbers, the first one ${first.x.length}`);
    examples.push({ x: [...row.x], label: row.label });
  }
  if (new Set(examples.map(({ label }) => label)).size < 2)
    throw new UserError(`${file} has ${examples.length} examples of one class or none`, "give two classes or more");
  return examples;
}

/** Runs the sub-command. */
export async function gpicl(context: Context<typeof GPICL>): Promise<Outcome> {
  const { options, args, seed, signal } = context;
  const file = args[0] ?? "-";
  const result = textResult(context, [file]);
  const made = new InContextTasks(await readExamples(file), { ...options, seed });
  const tokens = options.pairs * (options.dims + 1);
  const about = { rows: options.size, tokens, vocabulary: made.vocabulary, classes: made.classes };
  if (context.dryRun) {
    context.json(about);
    context.print(`${options.size} rows of ${tokens} tokens, of a vocabulary of ${made.vocabulary}`);
    return {};
  }
  const lines = Array.from({ length: options.size }, (_, index) => {
    signal.throwIfAborted();
    return JSON.stringify(made.row(index));
  });
  context.info(
    `${tokens} tokens a row, of a vocabulary of ${made.vocabulary}: ${options.bins} of numbers, then classes`,
  );
  return result(lines.join("\n"), about);
}
