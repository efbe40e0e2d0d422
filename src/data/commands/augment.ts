/** `data augment`: rows, each followed by copies of it with some words changed. */
import { readFileSync } from "node:fs";
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { isObject, parseJson, show } from "../../json.ts";
import { augmented, OPERATIONS, type Operation, type Synonyms, wordsOf } from "../augmenting/eda.ts";
import type { AUGMENT } from "../augmenting/options.ts";
import { readJsonFile } from "../files/jsonl.ts";
import { Random } from "../random.ts";

type AugmentContext = Context<typeof AUGMENT>;

/** Throws UserError for what is no table of words. */
function readSynonyms(file: string): Synonyms {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`--synonyms ${file} cannot be read: ${(error as Error).message}`);
  }
  const { value } = parseJson(text, `--synonyms ${file}`);
  const found = new Map<string, string[]>();
  for (const [word, others] of isObject(value) ? Object.entries(value) : []) {
    if (!Array.isArray(others) || !others.every((other) => typeof other === "string"))
      throw new UserError(`--synonyms ${file}: ${show(word)} should have a list of words`, '{"big": ["large"]}');
    found.set(word.toLowerCase(), others);
  }
  if (found.size === 0) throw new UserError(`--synonyms ${file} has no words`, '{"big": ["large", "huge"]}');
  return found;
}

/** The operations of the copies. Throws UserError for one that needs synonyms where there are none. */
function operationsOf({ operation, synonyms }: AugmentContext["options"]): readonly Operation[] {
  const asked = OPERATIONS.filter((name) => operation === undefined || operation.includes(name));
  const needing = operation?.find((name) => name === "replace" || name === "insert");
  if (needing && synonyms === undefined)
    throw new UserError(`--operation ${needing} needs --synonyms`, "give a table of words, or swap and delete alone");
  return synonyms === undefined ? asked.filter((name) => name === "swap" || name === "delete") : asked;
}

const ROWS = "the rows come first, as JSON lines";

/** Runs the sub-command. Copies that came out like their row are left out, so a rate of 0 leaves the rows alone. */
export async function augment(context: AugmentContext): Promise<Outcome | undefined> {
  const { options, out, seed, signal } = context;
  const { rate, copies, field } = options;
  const operations = operationsOf(options);
  const synonyms: Synonyms = options.synonyms === undefined ? new Map() : readSynonyms(options.synonyms);
  const file = context.args[0] ?? "-";
  refuseInputs(out, [file, ...(options.synonyms === undefined ? [] : [options.synonyms])]);
  const target = context.dryRun || (options.json && out === "-") ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  target?.write("");
  let [rows, made, same] = [0, 0, 0];
  for await (const { value, place } of readJsonFile(file, { hint: ROWS })) {
    signal.throwIfAborted();
    const text = isObject(value) ? value[field] : undefined;
    if (!isObject(value) || typeof text !== "string")
      throw new UserError(`${place}: ${show(field)} should be a text`, "--field names the key that holds the sentence");
    let lines = `${JSON.stringify(value)}\n`;
    const words = wordsOf(text);
    for (let copy = 0; copy < copies; copy++) {
      const random = new Random(seed, "augment", rows, copy);
      const changed = augmented(words, random.pick(operations), { rate, synonyms, random });
      if (changed.join(" ") === words.join(" ")) same++;
      else {
        made++;
        lines += `${JSON.stringify({ ...value, [field]: changed.join(" ") })}\n`;
      }
    }
    rows++;
    target?.write(lines);
  }
  if (options.json) context.json({ rows, copies: made, unchanged: same, operations, rate });
  else if (context.dryRun) context.print(`${rows} rows, ${made} copies`);
  if (same > 0) context.info(`${same} of ${same + made} copies were like their rows, and were left out`);
  return out === "-" ? undefined : { output: `${out} (${rows} rows, ${made} copies)` };
}
