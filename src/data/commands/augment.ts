/** `data augment`: rows, each followed by copies of it with some words changed. */
import { readFileSync } from "node:fs";
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject, parseJson, show } from "../../json.ts";
import { sentencesOf, switchedSentences, switchedWords, type Translations } from "../augmenting/code-switch.ts";
import { augmented, OPERATIONS, type Operation, type Synonyms, wordsOf } from "../augmenting/eda.ts";
import type { AUGMENT } from "../augmenting/options.ts";
import { readJsonFile } from "../files/jsonl.ts";
import { Random } from "../random.ts";

type AugmentContext = Context<typeof AUGMENT>;

/** A table of words. Throws UserError for what is none. */
function readTable(flag: string, file: string, example: string): Synonyms {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new UserError(`${flag} ${file} cannot be read: ${(error as Error).message}`);
  }
  const { value } = parseJson(text, `${flag} ${file}`);
  const found = new Map<string, string[]>();
  for (const [word, others] of isObject(value) ? Object.entries(value) : []) {
    if (!Array.isArray(others) || others.length === 0 || !others.every((other) => typeof other === "string"))
      throw new UserError(`${flag} ${file}: ${show(word)} should have a list of words`, example);
    found.set(word.toLowerCase(), others);
  }
  if (found.size === 0) throw new UserError(`${flag} ${file} has no words`, example);
  return found;
}

/** What switch needs beside the text: a table, or the translation of the whole text. */
interface Switching {
  readonly ratio: number;
  readonly translations: Translations | undefined;
  /** Key of the row. */
  readonly field: string | undefined;
}

type Work = Operation | "switch";

/** What a copy of a row is, by one operation. Throws UserError for a translation that is not sentence by sentence. */
function copyOf(
  text: string,
  operation: Work,
  given: { rate: number; synonyms: Synonyms; random: Random; switching: Switching; row: JsonObject; place: string },
): string {
  const words = wordsOf(text);
  const { switching, random, row, place } = given;
  if (operation !== "switch") return augmented(words, operation, given).join(" ");
  const { ratio, translations, field } = switching;
  if (translations) return switchedWords(words, { ratio, translations, random }).join(" ");
  const other = field === undefined ? undefined : row[field];
  if (typeof other !== "string")
    throw new UserError(`${place}: ${show(field ?? "")} should be a text`, "it is the translation of the whole text");
  const [own, translated] = [sentencesOf(text), sentencesOf(other)];
  if (own.length !== translated.length)
    throw new UserError(
      `${place}: the text has ${own.length} sentences, its translation ${translated.length}`,
      "sentences are switched one for one; leave the row out",
    );
  return switchedSentences(own, translated, { ratio, random }).join(" ");
}

/** The operations of the copies. Throws UserError for one that needs what is not given. */
function operationsOf(options: AugmentContext["options"]): readonly Work[] {
  const { operation, translations, translation_field: field } = options;
  const switches = translations !== undefined || field !== undefined;
  if (translations !== undefined && field !== undefined)
    throw new UserError("--translations and --translation-field are two ways to switch", "give one of them");
  if (operation?.includes("switch") && !switches)
    throw new UserError(
      "--operation switch needs --translations or --translation-field",
      "give a table of phrases, or name the key of rows that holds their translation",
    );
  const isAsked = switches && (operation === undefined || operation.includes("switch"));
  return [...wordOperations(options), ...(isAsked ? (["switch"] as const) : [])];
}

/** Those within one language. */
function wordOperations({ operation, synonyms }: AugmentContext["options"]): readonly Operation[] {
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
  const table = (name: "synonyms" | "translations", example: string) =>
    options[name] === undefined ? undefined : readTable(`--${name}`, options[name], example);
  const synonyms: Synonyms = table("synonyms", '{"big": ["large"]}') ?? new Map();
  const switching = {
    ratio: options.switch_ratio,
    translations: table("translations", '{"big dog": ["großer Hund"]}'),
    field: options.translation_field,
  };
  const file = context.args[0] ?? "-";
  refuseInputs(
    out,
    [file, options.synonyms, options.translations].filter((name) => name !== undefined),
  );
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
    const own = wordsOf(text).join(" ");
    for (let copy = 0; copy < copies; copy++) {
      const random = new Random(seed, "augment", rows, copy);
      const given = { rate, synonyms, random, switching, row: value, place };
      const changed = copyOf(text, random.pick(operations), given);
      if (changed === own) same++;
      else {
        made++;
        lines += `${JSON.stringify({ ...value, [field]: changed })}\n`;
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
