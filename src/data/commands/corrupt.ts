/** `data corrupt`: rows whose inputs have got worse, in a named way and degree. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { isObject, show } from "../../json.ts";
import { checkApply, corruptedInput, corruptedText } from "../corrupting/apply.ts";
import type { Corruption } from "../corrupting/contract.ts";
import type { CORRUPT } from "../corrupting/options.ts";
import { readJsonFile } from "../files/jsonl.ts";
import { Random } from "../random.ts";

type CorruptContext = Context<typeof CORRUPT>;

const ROWS = "the rows come first, as JSON lines";

/** What a row's input becomes. Throws UserError for an input of another kind. */
function corrupted(
  method: Corruption,
  value: unknown,
  given: { readonly options: CorruptContext["options"]; readonly random: Random; readonly place: string },
): unknown {
  const { options, place } = given;
  if (method.words) {
    if (typeof value !== "string") throw new UserError(`${place}: ${method.name} is of texts, found ${typeof value}`);
    return corruptedText(method, value, options, given);
  }
  if (!Array.isArray(value) || !value.every((x) => typeof x === "number"))
    throw new UserError(
      `${place}: ${method.name} is of lists of numbers, found ${typeof value}`,
      "--field names the key that holds them",
    );
  return corruptedInput(method, value, options, given);
}

/** Runs the sub-command. What happens to a row follows from --seed, the corruption, its severity and its place. */
export async function corrupt(context: CorruptContext): Promise<Outcome | undefined> {
  const { options, out, seed, signal } = context;
  checkApply(options);
  const { method } = context.picks.corruption[0]!;
  const { severity, field = method.words ? "text" : "x" } = options;
  const file = context.args[0] ?? "-";
  refuseInputs(out, [file]);
  const target = context.dryRun || (options.json && out === "-") ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  target?.write("");
  let [rows, outside] = [0, 0];
  const [low = 0, high = 1] = options.range;
  for await (const { value, place } of readJsonFile(file, { hint: ROWS })) {
    signal.throwIfAborted();
    if (!isObject(value) || value[field] === undefined)
      throw new UserError(`${place}: the row has no ${show(field)}`, "--field names the key that is corrupted");
    const random = new Random(seed, "corrupt", method.name, severity, rows);
    const own = value[field];
    const worse = corrupted(method, own, { options, random, place });
    rows++;
    if (Array.isArray(own)) outside += own.filter((x) => Number(x) < low || Number(x) > high).length;
    target?.write(`${JSON.stringify({ ...value, [field]: worse })}\n`);
  }
  if (outside > 0)
    context.warn(`${outside} values lay outside of --range ${options.range.join(",")}, and were cut off there`);
  if (options.json) context.json({ rows, corruption: method.name, severity, amount: method.amounts[severity - 1]! });
  else if (context.dryRun) context.print(`${rows} rows, ${method.name} of severity ${severity}`);
  return out === "-" ? undefined : { output: `${out} (${rows} rows)` };
}
