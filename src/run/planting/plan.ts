/**
 * Experiments that are planted in one training: rows that take the place of a few others, and rows like them that are
 * held back as a control. After "Train Once, Answer All: Many Pretraining Experiments for the Cost of One", ICLR 2026.
 *
 *   {"name": "canary", "rows": "canary.jsonl", "control": "others.jsonl", "times": 16}
 *   {"name": "fact", "rows": "said.jsonl", "control": "unsaid.jsonl", "times": 64, "until": 0.5}
 */
import { readJsonFile } from "../../data/files/jsonl.ts";
import { type GroupReference, parseGroups } from "../../data/groups.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json, show } from "../../json.ts";

export interface Planted {
  readonly name: string;
  readonly rows: GroupReference;
  /** Rows of the same kind that are not planted. */
  readonly control: GroupReference | undefined;
  /** How often each row is planted at most. */
  readonly times: number;
  /** Shares of the training between which rows are planted. */
  readonly from: number;
  readonly to: number;
  /** Planting ends when the loss of `probe` falls below this. */
  readonly until: number | undefined;
  /** What is looked at for that: the rows themselves when left out. */
  readonly probe: GroupReference;
}

const KEYS = ["name", "rows", "control", "times", "from", "to", "until", "probe"];
const HINT = 'a line is like {"name": "canary", "rows": "canary.jsonl", "control": "others.jsonl", "times": 16}';

/** Reads what one line says. Throws UserError. */
function experimentOf(value: Json, place: string, columns: string | undefined): Planted {
  if (!isObject(value)) throw new UserError(`${place}: an experiment is an object`, HINT);
  const stray = Object.keys(value).find((key) => !KEYS.includes(key));
  if (stray !== undefined)
    throw new UserError(`${place}: an experiment has no key ${show(stray)}`, `the keys are ${KEYS.join(", ")}`);
  const text = (key: string): string | undefined => {
    const found = value[key];
    if (found === undefined || (typeof found === "string" && found !== "")) return found;
    throw new UserError(`${place}: ${key} is no name`, HINT);
  };
  const number = (key: string, fallback: number | undefined, isRight: (found: number) => boolean, what: string) => {
    const found = value[key] ?? fallback;
    if (found === undefined || (typeof found === "number" && isRight(found))) return found;
    throw new UserError(`${place}: ${key} should be ${what}, found ${JSON.stringify(found)}`, HINT);
  };
  const [name, rows] = [text("name"), text("rows")];
  if (name === undefined || rows === undefined)
    throw new UserError(`${place}: an experiment needs a name and rows`, HINT);
  const isShare = (found: number) => found >= 0 && found <= 1;
  const [from, to] = [number("from", 0, isShare, "0 to 1")!, number("to", 1, isShare, "0 to 1")!];
  if (!(from < to)) throw new UserError(`${place}: it ends (to) before it begins (from)`, "from is below to");
  const group = (ref: string) => parseGroups([`${name}=${ref}`], columns, `${place}:`)[0]!;
  const [control, probe] = [text("control"), text("probe")];
  return {
    ...{ name, from, to, rows: group(rows), probe: group(probe ?? rows) },
    control: control === undefined ? undefined : group(control),
    times: number("times", 1, (found) => Number.isInteger(found) && found >= 0, "a whole number")!,
    until: number("until", undefined, (found) => found > 0, "a loss above 0"),
  };
}

/** The experiments of a file. Throws UserError, naming the line. */
export async function readPlan(file: string, columns?: string): Promise<Planted[]> {
  const plan: Planted[] = [];
  for await (const { value, place } of readJsonFile(file, { flag: "--plant", hint: HINT })) {
    const experiment = experimentOf(value, place, columns);
    if (plan.some(({ name }) => name === experiment.name))
      throw new UserError(`${place}: there is another experiment called ${experiment.name}`, "names differ");
    plan.push(experiment);
  }
  return plan;
}
