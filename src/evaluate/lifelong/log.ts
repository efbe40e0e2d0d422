/**
 * The log of a life of learning: JSON lines, one for each experience of a block of training and each task of a block of
 * tests.
 *
 *   {"block": 0, "type": "train", "task": "a", "performance": 0.31}
 *   {"block": 1, "type": "test", "task": "b", "performance": 0.10}
 */
import { readJsonFile } from "../../data/files/jsonl.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json, show } from "../../json.ts";

/** What happened within one number of `block`, in the order of the log. */
export interface Block {
  readonly block: number;
  readonly type: "train" | "test";
  /** Performance by task; a block of training has one task. */
  readonly performance: ReadonlyMap<string, readonly number[]>;
}

interface Line {
  readonly block: number;
  readonly type: "train" | "test";
  readonly task: string;
  readonly performance: number;
}

function lineOf(value: Json, place: string): Line {
  if (!isObject(value)) throw new UserError(`${place}: expected an object`, "with block, type, task and performance");
  const { block, type, task, performance } = value;
  const wrong = (key: string, wanted: string) => {
    const found = value[key] === undefined ? "nothing" : show(JSON.stringify(value[key]));
    const hint =
      "event" in value
        ? "this is the log of a run; adapt --json has the metrics of a stream of tasks"
        : "a line holds block, type, task and performance";
    return new UserError(`${place}: ${key} should be ${wanted}, found ${found}`, hint);
  };
  if (typeof block !== "number" || !Number.isInteger(block)) throw wrong("block", "a whole number");
  if (type !== "train" && type !== "test") throw wrong("type", "train or test");
  if (typeof task !== "string" || task === "") throw wrong("task", "a name");
  if (typeof performance !== "number" || !Number.isFinite(performance)) throw wrong("performance", "a finite number");
  return { block, type, task, performance };
}

/** Blocks by number. Throws UserError, with the line, for what is no log. */
export async function readLog(file: string): Promise<Block[]> {
  const what = file === "-" ? "stdin" : file;
  const found = new Map<number, { type: Line["type"]; performance: Map<string, number[]> }>();
  for await (const { value, place } of readJsonFile(file, { hint: "the log comes first, as JSON lines" })) {
    const line = lineOf(value, place);
    const own = found.get(line.block) ?? { type: line.type, performance: new Map<string, number[]>() };
    found.set(line.block, own);
    if (own.type !== line.type)
      throw new UserError(
        `${place}: block ${line.block} is one of ${own.type} before, and of ${line.type} here`,
        "a block has one type; give blocks of training and of tests numbers of their own",
      );
    const values = own.performance.get(line.task) ?? [];
    values.push(line.performance);
    own.performance.set(line.task, values);
    if (line.type === "train" && own.performance.size > 1)
      throw new UserError(
        `${place}: block ${line.block} trains ${[...own.performance.keys()].map(show).join(" and ")}`,
        "a block of training has one task; give each a number of its own",
      );
  }
  if (found.size === 0) throw new UserError(`${what} has no lines`, "it should hold block, type, task and performance");
  return [...found].sort(([a], [b]) => a - b).map(([block, rest]) => ({ block, ...rest }));
}
