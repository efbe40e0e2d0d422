/**
 * Other answers to a row's question, each scored as the row's own answer is: paraphrases, wrong answers, options.
 *
 * Rows name them as TOFU does (arXiv:2401.06121): `paraphrased_answer` (or `paraphrased_answers`, a list),
 * `perturbed_answer` (a list of wrong ones). Truth ratios set the wrong answers beside the right one in the same
 * wording: the paraphrase if there is one, else the row's own answer. Options are `choices` with `answer`, the place of
 * the right one; without them the row's own answer and the wrong ones.
 */
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { Message, Row } from "../../data/rows.ts";
import { type EncodeOptions, encodeRow, type Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { meanLoss } from "./mean-loss.ts";
import type { AnswerLosses, Need, ScoredRow } from "./scored-row.ts";

const KINDS = ["truth", "options", "paraphrases"] as const;
type Kind = (typeof KINDS)[number];

const HELD: Readonly<Record<Kind, string>> = {
  truth: "perturbed_answer (a list of wrong answers) and, if there is one, paraphrased_answer",
  options: "choices and answer (the place of the right one), or perturbed_answer (a list of wrong answers)",
  paraphrases: "paraphrased_answers (a list) or paraphrased_answer",
};

interface Answers {
  readonly right: readonly string[];
  readonly wrong: readonly string[];
}

/** What is asked, as text or as the messages before the answer, and the answer; undefined for rows that ask nothing. */
export function questionOf(row: Row): { prompt: string | readonly Message[]; expected: string } | undefined {
  if (row.form === "completion") return { prompt: row.prompt, expected: row.completion };
  if (row.form !== "messages") return undefined;
  const last = row.messages.at(-1)!;
  return last.role === "assistant" ? { prompt: row.messages.slice(0, -1), expected: last.content } : undefined;
}

/** The row with another answer, set off from the prompt as its own is. */
function answered(row: Row, answer: string): Row {
  if (row.form === "completion") return { ...row, completion: /^\s*/.exec(row.completion)![0] + answer.trimStart() };
  if (row.form === "messages")
    return { ...row, messages: [...row.messages.slice(0, -1), { role: "assistant", content: answer }] };
  return row;
}

/** A text or a list of texts under a key; empty where there is none. */
function textsAt({ extra }: Row, key: string, place: string): string[] {
  const value = extra[key];
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value) ? value : [value];
  const odd = list.find((text) => typeof text !== "string" || text.trim() === "");
  if (odd !== undefined || list.length === 0)
    throw new UserError(
      `${place}: ${key} should be a text or a list of texts, found ${JSON.stringify(odd ?? value).slice(0, 60)}`,
      "write answers in quotes, and leave the key out where there are none",
    );
  return list as string[];
}

/** The answers of a kind that a row names; undefined where it names none. */
function answersOf(row: Row, kind: Kind, place: string): Answers | undefined {
  const own = questionOf(row)?.expected;
  if (own === undefined) return undefined;
  const paraphrased = textsAt(row, "paraphrased_answer", place);
  if (kind === "paraphrases") {
    const right = textsAt(row, "paraphrased_answers", place);
    if (right.length === 0) right.push(...paraphrased);
    return right.length > 0 ? { right, wrong: [] } : undefined;
  }
  const { choices, answer } = row.extra;
  if (kind === "options" && choices !== undefined) {
    const options = textsAt(row, "choices", place);
    if (typeof answer !== "number" || options[answer] === undefined || options.length < 2)
      throw new UserError(
        `${place}: answer should be the place of the right one of ${options.length} choices, found ${JSON.stringify(answer ?? null).slice(0, 60)}`,
        "count from 0, and give two choices or more",
      );
    return { right: [options[answer]!], wrong: options.filter((_, i) => i !== answer) };
  }
  const wrong = textsAt(row, "perturbed_answer", place);
  if (wrong.length === 0) return undefined;
  return { right: kind === "truth" && paraphrased.length > 0 ? paraphrased : [own], wrong };
}

/** The other answers of a data set, and whose they are. */
export interface Alternatives {
  readonly sequences: readonly Sequence[];
  /** Per row and kind: places among the sequences. */
  readonly asked: readonly Partial<Record<Kind, { readonly right: number[]; readonly wrong: number[] }>>[];
}

/**
 * Reads the other answers to `count` rows; undefined where no metric needs them. A group may lack a kind altogether;
 * its rows are then not measured. Throws UserError when only some rows of a group name them, or none of any group.
 */
export async function readAlternatives(
  groups: readonly GroupReference[],
  encode: Omit<EncodeOptions, "group">,
  needs: ReadonlySet<Need>,
  count: number,
): Promise<Alternatives | undefined> {
  const kinds = KINDS.filter((kind) => needs.has(kind));
  if (kinds.length === 0) return undefined;
  const sequences: Sequence[] = [];
  const asked: Alternatives["asked"][number][] = [];
  const found = new Set<Kind>();
  let start = "";
  for (const [group, source] of groups.entries()) {
    const before = new Map<Kind, boolean>();
    for await (const { row, place } of readRows(source)) {
      start ||= place;
      const places = new Map<string, number>();
      const add = (text: string) => {
        const known = places.get(text);
        if (known !== undefined) return known;
        const [sequence] = encodeRow({ row: answered(row, text), place }, { ...encode, group });
        if (!sequence!.labels.subarray(1).some((label) => label >= 0))
          throw new UserError(
            `${place}: no token of the answer ${JSON.stringify(text).slice(0, 60)} is left of ${encode.maxLength}`,
            "raise --max-length, or leave the row out",
          );
        places.set(text, sequences.length);
        return sequences.push(sequence!) - 1;
      };
      const own: Partial<Record<Kind, { right: number[]; wrong: number[] }>> = {};
      for (const kind of kinds) {
        const answers = answersOf(row, kind, place);
        const has = answers !== undefined;
        if ((before.get(kind) ?? has) !== has)
          throw new UserError(
            `${place}: the row ${has ? "has" : "lacks"} what rows before it ${has ? "lack" : "have"}: ${HELD[kind]}`,
            "give it to all rows of the group or to none",
          );
        before.set(kind, has);
        if (!answers) continue;
        found.add(kind);
        own[kind] = { right: answers.right.map(add), wrong: answers.wrong.map(add) };
      }
      asked.push(own);
    }
  }
  const missing = kinds.find((kind) => !found.has(kind));
  if (missing)
    throw new UserError(
      `${start}: no row names alternative answers`,
      `add to prompt and completion ${HELD[missing]}; bun run data facts makes such rows`,
    );
  if (asked.length !== count)
    throw new UserError("alternative answers belong to whole rows, but some were split", "leave out --overflow split");
  return { sequences, asked };
}

/** Adds the losses of other answers. `scored` are the sequences of the alternatives. */
export function withAlternatives(
  rows: readonly ScoredRow[],
  { asked }: Alternatives,
  scored: readonly ScoredRow[],
): ScoredRow[] {
  const losses = scored.map((row) => meanLoss(row));
  return rows.map((row, i) => {
    const { truth, options, paraphrases } = asked[i]!;
    const lossesOf = ({ right, wrong }: { right: number[]; wrong: number[] }): AnswerLosses => ({
      right: right.map((at) => losses[at]!),
      wrong: wrong.map((at) => losses[at]!),
    });
    return {
      ...row,
      ...(truth ? { truth: lossesOf(truth) } : {}),
      ...(options ? { options: lossesOf(options) } : {}),
      ...(paraphrases ? { paraphrases: lossesOf(paraphrases).right } : {}),
    };
  });
}
