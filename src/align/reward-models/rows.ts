/** Rows of a reward model to sequences of tokens: two answers, an answer with a score, or an answer in steps. */
import { encodeAnswer } from "../../data/answered.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import { kindOf } from "../../data/row-fields.ts";
import type { LocatedRow, Row, Said } from "../../data/rows.ts";
import type { Sequence } from "../../data/sequences.ts";
import { encodeSteps, stepsOf } from "../../data/steps.ts";
import { NAME_TOKENIZER } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { TextTools } from "../../run/text-tools.ts";
import type { RewardMethod } from "./contract.ts";

/** What the loss counts once. */
export interface RewardItem {
  /** The chosen answer and the rejected one, or a single one. */
  readonly sequences: readonly Sequence[];
  /** Margin of a pair, score of a single answer; 0 of steps. */
  readonly number: number;
}

export interface RewardGroup {
  readonly name: string;
  readonly items: readonly RewardItem[];
}

/** A number under a key; `fallback` where it is not there. Throws UserError for what is none. */
function numberAt(extra: Row["extra"], key: string, place: string, fallback?: number): number {
  const value: Json | undefined = extra[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new UserError(
    `${place}: ${key} should be a number, found ${kindOf(value)}`,
    `name the column that has it: --columns ${key}=COLUMN`,
  );
}

function pairOf({ row, place }: LocatedRow, { encode }: TextTools, group: number): RewardItem {
  if (row.form !== "preference")
    throw new UserError(
      `${place}: the reward model learns from pairs of answers, found a row of ${row.form}`,
      "rows have prompt, chosen and rejected; --method reward-regression takes prompt, completion and score",
    );
  const { prompt, chosen, rejected, extra } = row;
  const sequences = [chosen, rejected].map((answer) =>
    encodeAnswer({ prompt, answer, extra, place }, { ...encode, group }),
  );
  return { sequences, number: numberAt(extra, "margin", place, 0) };
}

function scoredOf({ row, place }: LocatedRow, { encode }: TextTools, group: number): RewardItem {
  const own = saidIn(row);
  if (!own)
    throw new UserError(
      `${place}: the reward model learns from scored answers, found a row of ${row.form}`,
      "rows have prompt, completion and score; --method reward takes prompt, chosen and rejected",
    );
  const sequence = encodeAnswer({ ...own, extra: row.extra, place }, { ...encode, group });
  return { sequences: [sequence], number: numberAt(row.extra, "score", place) };
}

/** Prompt and answer of a row that has one. */
function saidIn(row: Row): { prompt: Said; answer: Said } | undefined {
  if (row.form === "completion") return { prompt: row.prompt, answer: row.completion };
  if (row.form !== "messages") return undefined;
  const from = row.countsFrom ?? row.messages.length - 1;
  return { prompt: row.messages.slice(0, from), answer: row.messages.slice(from) };
}

/** Reads the rows of all groups. Throws UserError for a row that does not fit. */
export async function readRewardRows(
  groups: readonly GroupReference[],
  tools: TextTools,
  { reads, separator }: { readonly reads: RewardMethod["reads"]; readonly separator: string },
): Promise<RewardGroup[]> {
  const { tokenizer, encode } = tools;
  if (!tokenizer) throw new UserError("a reward model reads texts, and there is no tokenizer", NAME_TOKENIZER);
  const { maxLength = Number.POSITIVE_INFINITY } = encode;
  const itemOf = (row: LocatedRow, group: number): RewardItem => {
    if (reads === "pairs") return pairOf(row, tools, group);
    if (reads === "scores") return scoredOf(row, tools, group);
    const sequence = encodeSteps(stepsOf(row), { tokenizer, separator, maxLength, group });
    if (sequence.isCut) encode.cut?.(row.place, maxLength);
    return { sequences: [sequence], number: 0 };
  };
  const found: RewardGroup[] = [];
  for (const [group, source] of groups.entries()) {
    const items: RewardItem[] = [];
    for await (const row of readRows(source)) items.push(itemOf(row, group));
    found.push({ name: source.name, items });
  }
  return found;
}
