/**
 * Files of stages: a run of several scripts as one plan.
 *
 *     to: run/                     # folder of all stages; the file's name without its ending when left out
 *     values: {base: model/, rate: 1e-3}
 *     budget: {steps: 500}         # also tokens, flops: a plan that takes more is refused
 *     stages:
 *       - name: warm
 *         run: train ${base} --data a.jsonl --steps 20 --lr ${rate}
 *       - name: mixed
 *         title: Both groups
 *         run: [curriculum, "${warm}", --data, a=a.jsonl, --data, b=b.jsonl, --steps, 20]
 *       - name: few
 *         program: head -n 100 rows.jsonl
 *         makes: few.jsonl
 *
 * `${NAME}` is a value, what an earlier stage makes, or the folder (`${to}`); `$${` stands for the two signs.
 */
import { type Path, parseYaml, type YamlDocument } from "../../checkpoint/lineage/recipe/yaml.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import { didYouMean } from "../../method/nearest.ts";
import { repeated } from "../../text/repeated.ts";
import { wordsIn } from "../../text/words.ts";

export const BUDGET_KEYS = ["steps", "tokens", "flops"] as const;
export type Budget = Readonly<Partial<Record<(typeof BUDGET_KEYS)[number], number>>>;

export interface WrittenStage {
  readonly name: string;
  readonly title: string | undefined;
  /** A script of ingot, or another program. */
  readonly by: "run" | "program";
  /** Its name and arguments, before values are put in. */
  readonly words: readonly string[];
  /** File or folder that it writes, within its own folder. */
  readonly makes: string | undefined;
}

export interface StageFile {
  readonly to: string | undefined;
  readonly values: Readonly<Record<string, string>>;
  readonly budget: Budget;
  readonly stages: readonly WrittenStage[];
}

type Fields = Readonly<Record<string, unknown>>;

/** A map with these keys alone. */
function fieldsOf(document: YamlDocument, path: Path, value: unknown, keys: readonly string[] | undefined): Fields {
  if (!isObject(value)) throw document.error(path, `expected a map${keys ? ` of ${keys.join(", ")}` : ""}`);
  const odd = keys && Object.keys(value).find((key) => !keys.includes(key));
  if (odd !== undefined)
    throw document.error(
      [...path, odd],
      `unknown key ${odd}`,
      didYouMean(odd, keys!) ?? `the keys are ${keys!.join(", ")}`,
    );
  return value;
}

const isScalar = (value: unknown): value is string | number | boolean =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean";

function textOf(document: YamlDocument, path: Path, value: unknown): string {
  if (!isScalar(value)) throw document.error(path, `${path.at(-1)}: expected one value`);
  return String(value);
}

const NAME = /^[A-Za-z][\w-]*$/;

function stageOf(document: YamlDocument, path: Path, value: unknown): WrittenStage {
  const fields = fieldsOf(document, path, value, ["name", "title", "run", "program", "makes"]);
  const name = textOf(document, [...path, "name"], fields.name ?? "");
  if (!NAME.test(name))
    throw document.error(path, `${name || "a stage without a name"}: expected a name of letters, digits, - and _`);
  const by = fields.run === undefined ? "program" : "run";
  if ((fields.run === undefined) === (fields.program === undefined))
    throw document.error(path, `stage ${name} needs either run (a script of ingot) or program (another one)`);
  const given = fields[by];
  const at = [...path, by];
  const words = Array.isArray(given)
    ? given.map((word, i) => textOf(document, [...at, i], word))
    : wordsIn(textOf(document, at, given));
  if (words === undefined) throw document.error(at, `stage ${name}: a quote is not closed`);
  if (words[0] === "ingot" && by === "run") words.shift();
  if (words.length === 0) throw document.error(at, `stage ${name}: expected a command`);
  const makes = fields.makes === undefined ? undefined : textOf(document, [...path, "makes"], fields.makes);
  if (makes !== undefined && (!/^[\w.-]+$/.test(makes) || /^\.*$/.test(makes) || RESERVED.has(makes)))
    throw document.error([...path, "makes"], `makes: ${makes} is not the name of one file or folder of its own`);
  if (by === "program" && makes === undefined)
    throw document.error(path, `stage ${name} needs makes: the file that its output goes to`);
  const title = fields.title === undefined ? undefined : textOf(document, [...path, "title"], fields.title);
  return { name, title, by, words, makes };
}

/** What a stage's folder holds besides what it makes. */
const RESERVED = new Set(["stage.json", "log.jsonl"]);

function budgetOf(document: YamlDocument, value: unknown): Budget {
  const fields = fieldsOf(document, ["budget"], value, BUDGET_KEYS);
  return Object.fromEntries(
    Object.entries(fields).map(([key, amount]) => {
      if (typeof amount === "number" && amount > 0 && Number.isFinite(amount)) return [key, amount];
      throw document.error(["budget", key], `budget: ${key} should be a number above 0`);
    }),
  );
}

/** Reads a file of stages. Throws UserError with its line and column where something is not as it should be. */
export async function parseStages(text: string, file: string): Promise<StageFile> {
  const documents = await parseYaml(text, file);
  const document = documents[0];
  if (!document || documents.length > 1)
    throw new UserError(`${file}: expected one document of stages`, "to, values, budget, and stages with name and run");
  const fields = fieldsOf(document, [], document.value, ["to", "values", "budget", "stages"]);
  const values = fieldsOf(document, ["values"], fields.values ?? {}, undefined);
  for (const name of Object.keys(values))
    if (!NAME.test(name) || name === "to")
      throw document.error(["values", name], `${name} cannot be the name of a value`);
  if (!Array.isArray(fields.stages) || fields.stages.length === 0)
    throw document.error(["stages"], "expected a list of stages, each with name and run");
  const stages = fields.stages.map((stage, i) => stageOf(document, ["stages", i], stage));
  const twice = repeated([...Object.keys(values), ...stages.map(({ name }) => name), "to"]);
  if (twice !== undefined) throw document.error(["stages"], `${twice} names two things`, "give each its own name");
  return {
    to: fields.to === undefined ? undefined : textOf(document, ["to"], fields.to),
    values: Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, textOf(document, ["values", name], value)]),
    ),
    budget: budgetOf(document, fields.budget ?? {}),
    stages,
  };
}
