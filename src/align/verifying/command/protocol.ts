/**
 * What a command that verifies answers reads and writes, as JSON lines.
 *
 *   in   {"index": 0, "prompt": "2+2=", "answer": "5", "tokens": 2, "truncated": false, "row": {"prompt": "2+2=", ...},
 *        "place": "rows.jsonl:12"}
 *   out  0.5     {"reward": 0.5}     null, where the answer cannot be judged
 *
 * `answer` is what the model says, `row` what the data set holds. A line may repeat the `index` of its answer, which is
 * then checked: a command that answers out of order is refused rather than believed.
 */

import { writtenRow } from "../../../data/written-row.ts";
import { UserError } from "../../../errors.ts";
import { isObject, type Json, parseJson, show } from "../../../json.ts";
import type { Answered } from "../contract.ts";
import type { Failure } from "./exchange.ts";

/** The line of an answer, the `index`-th that this command is asked about in a batch. */
export const questionOf = ({ prompt, answer, tokens, truncated, row, place }: Answered, index: number): string =>
  JSON.stringify({ index, prompt, answer, tokens, truncated, row: writtenRow(row), place });

const WANTED = 'a line holds a number, {"reward": 0.5}, or null where the answer cannot be judged';

/** The reward that a line holds. Throws UserError that begins with the place of the row. */
export function rewardIn(line: string, { place, index, command }: { place: string; index: number; command: string }) {
  const wrong = (why: string) => new UserError(`${place}: ${show(command)} wrote ${show(line)}, ${why}`, WANTED);
  if (/^\s*[-+]?(nan|inf(inity)?)\s*$/i.test(line)) throw wrong("which is no number");
  let value: Json;
  try {
    value = parseJson(line.trim(), "a line").value;
  } catch {
    throw wrong("which is no reward");
  }
  const named = isObject(value);
  if (named && !Object.hasOwn(value as object, "reward")) throw wrong("which has no reward");
  const { reward, index: told = index } = named ? (value as { reward: Json; index?: Json }) : { reward: value };
  if (told !== index)
    throw wrong(`though this answer has the index ${index}: rewards come in the order of the answers`);
  if (reward === null) return null;
  if (typeof reward !== "number") throw wrong(`whose reward is no number`);
  if (!Number.isFinite(reward)) throw wrong("which is too large for a number");
  return reward;
}

/** What a failed exchange tells the user. `places` are those of the answers that were asked about. */
export function failed(
  failure: Failure,
  {
    command,
    places,
    lines,
    told,
    seconds,
    keep,
  }: {
    readonly command: string;
    readonly places: readonly string[];
    readonly lines: number;
    readonly told: string;
    readonly seconds: number;
    readonly keep: boolean;
  },
): UserError {
  const name = show(command);
  const next = places[Math.min(lines, places.length - 1)];
  const count = `${lines} of ${places.length} rewards`;
  const said = told === "" ? "" : `; it said ${show(told.slice(-400))}`;
  switch (failure.kind) {
    case "time":
      return new UserError(
        `${next}: ${name} gave ${count} within ${seconds} s, and was ended${said}`,
        keep
          ? "a command that is kept writes a line for each answer at once (flush after each); --verify-time gives it longer"
          : "--verify-time gives it longer, --verify-batch asks for fewer at once",
      );
    case "ended":
      return failure.how === "code 0"
        ? new UserError(
            `${next}: ${name} ended after ${count}, and this answer is the first without${said}`,
            keep ? "a command that is kept (--verify-keep) reads on until its input ends" : WANTED,
          )
        : new UserError(
            `${next}: ${name} ended with ${failure.how} after ${count}${said}`,
            "run it by hand on a line of what it reads; docs/align.md shows one",
          );
    case "extra":
      return new UserError(
        `${places.at(-1)}: ${name} wrote a line more than the ${places.length} answers: ${show(failure.line)}`,
        "it writes one line for each answer, and nothing else, to stdout; messages go to stderr",
      );
    case "long":
      return new UserError(`${next}: ${name} wrote a line of more than 1 MiB`, WANTED);
  }
}
