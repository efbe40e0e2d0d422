/**
 * `data demos`: prompts behind demonstrations of how others are answered. Mueller et al. 2023 (demonstration retrieval
 * in meta-training), https://arxiv.org/abs/2307.00119
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import { Bm25 } from "../demonstrations/bm25.ts";
import type { DEMOS } from "../demonstrations/options.ts";
import { readJsonFile } from "../files/jsonl.ts";
import { Random } from "../random.ts";
import { textAt } from "../row-fields.ts";

interface Shown {
  readonly row: JsonObject;
  readonly prompt: string;
  readonly completion: string;
}

async function read(file: string, flag?: string): Promise<Shown[]> {
  const rows: Shown[] = [];
  const given = { hint: "rows of prompt and completion, as JSON lines", ...(flag === undefined ? {} : { flag }) };
  for await (const { value, place } of readJsonFile(file, given)) {
    if (!isObject(value)) throw new UserError(`${place}: expected an object`, given.hint);
    rows.push({ row: value, prompt: textAt(value, "prompt", place), completion: textAt(value, "completion", place) });
  }
  return rows;
}

/** Places of a bank for a prompt, the best first; none that asks the same. */
type Retrieve = (prompt: string, place: number) => readonly number[];

function retrieverOf({ options, seed }: Context<typeof DEMOS>, bank: readonly Shown[]): Retrieve {
  if (options.retriever === "bm25") {
    const index = new Bm25(bank.map(({ prompt }) => prompt));
    return (prompt) => index.ranked(prompt).map(({ text }) => text);
  }
  return (_, place) => new Random(seed, "demos", place).shuffled([...bank.keys()]);
}

export async function demos(context: Context<typeof DEMOS>): Promise<Outcome> {
  const { options, args, signal } = context;
  const { bank: bankFile, demo_count: count, separator } = options;
  const file = args[0] ?? "-";
  const result = textResult(context, [file, ...(bankFile === undefined ? [] : [bankFile])]);
  const rows = await read(file);
  const bank = bankFile === undefined ? rows : await read(bankFile, "--bank");
  const retrieve = retrieverOf(context, bank);
  let [shown, short] = [0, 0];
  const lines = rows.map(({ row, prompt }, place) => {
    signal.throwIfAborted();
    const others = count === 0 ? [] : retrieve(prompt, place).filter((at) => bank[at]!.prompt !== prompt);
    const chosen = others.slice(0, count).map((at) => bank[at]!);
    shown += chosen.length;
    if (chosen.length < count) short++;
    // The best one stands nearest to what is asked.
    const before = chosen.toReversed().map((one) => `${one.prompt}${one.completion}${separator}`);
    return JSON.stringify({ ...row, prompt: before.join("") + prompt });
  });
  const about = { rows: rows.length, demonstrations: shown, short };
  if (short > 0) context.info(`${short} of ${rows.length} prompts have fewer than ${count} demonstrations`);
  if (context.dryRun) {
    context.json(about);
    context.print(`${rows.length} rows, ${shown} demonstrations`);
    return {};
  }
  return result(lines.join("\n"), about);
}
