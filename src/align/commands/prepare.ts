/** `align prepare`: logged texts with outcomes to rewards, or to pairs, without what confounders explain. */
import type { Context, Outcome } from "../../cli/context.ts";
import { textResult } from "../../cli/text-result.ts";
import { readValues } from "../../data/read-rows.ts";
import { UserError } from "../../errors.ts";
import { isObject, type JsonObject } from "../../json.ts";
import { bestAndWorst } from "../best-and-worst.ts";
import { deconfounded, type Observed } from "../logged/deconfound.ts";
import type { PREPARE } from "../options.ts";

interface Logged extends Observed {
  readonly row: JsonObject;
  readonly prompt: string;
}

/** The rows of a file. Throws UserError for one without its text, its outcome or a confounder. */
async function observed(path: string, outcome: string, confounders: readonly string[]): Promise<Logged[]> {
  const rows: Logged[] = [];
  for await (const { value, place } of readValues(path)) {
    if (!isObject(value)) throw new UserError(`${place}: the row is no JSON object`);
    const { completion, prompt = "" } = value;
    if (typeof completion !== "string" || typeof prompt !== "string")
      throw new UserError(
        `${place}: ${typeof completion === "string" ? "prompt" : "completion"} should be a text`,
        "rows have prompt, completion, the outcome and the confounders",
      );
    const found = value[outcome];
    if (typeof found !== "number" || !Number.isFinite(found))
      throw new UserError(
        `${place}: ${outcome} is ${JSON.stringify(found)}, expected a number`,
        "bun run align prepare … --outcome NAME says which column holds what became of a text",
      );
    const known = confounders.map((name) => {
      const own = value[name];
      if (typeof own === "string" || typeof own === "boolean" || (typeof own === "number" && Number.isFinite(own)))
        return [name, own] as const;
      throw new UserError(
        `${place}: the confounder ${name} is ${JSON.stringify(own)}, expected a number or a text`,
        "every row needs each of them",
      );
    });
    rows.push({ row: value, text: completion, prompt, outcome: found, confounders: Object.fromEntries(known) });
  }
  return rows;
}

export async function prepare(context: Context<typeof PREPARE>): Promise<Outcome> {
  const { options, args, seed } = context;
  const [file] = args;
  const result = textResult(context, args);
  const { outcome, deconfound = [], folds, ridge: penalty, words, to, least } = options;
  const rows = await observed(file!, outcome, deconfound);
  if (rows.length < Math.max(2, folds))
    throw new UserError(
      `${file}: ${rows.length} rows are fewer than ${Math.max(2, folds)}`,
      "give more, or fewer --folds",
    );
  const { outcomes, explained } = deconfounded(rows, { folds, penalty, words, seed });
  const made =
    to === "pairs"
      ? bestAndWorst(
          rows.map(({ prompt, text }, i) => ({ prompt, text, worth: outcomes[i]! })),
          least,
        )
      : rows.map(({ row }, i) => ({ ...row, reward: outcomes[i]!, [`raw_${outcome}`]: row[outcome]! }));
  if (made.length === 0)
    throw new UserError(
      `${file}: no prompt has two texts whose outcomes are more than ${least} apart`,
      "--to rewards keeps every row, and --least bounds how far apart a pair has to be",
    );
  const told = { rows: rows.length, made: made.length, explained };
  context.info(
    `${made.length} rows of ${rows.length}; confounders explain ${(100 * explained).toFixed(1)} % of the outcome`,
  );
  return result(made.map((row) => JSON.stringify(row)).join("\n"), told);
}
