/**
 * Rows of preferences to sequences of tokens. Every item is two sequences: the chosen and the rejected answer to one
 * prompt, or an answer and, to tell how far the model has moved, the next row's answer to the same prompt.
 */
import { encodeAnswer } from "../../data/answered.ts";
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { LocatedRow, Said } from "../../data/rows.ts";
import type { EncodeOptions, Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";

/** Two sequences that are run together. */
export interface Item {
  readonly first: Sequence;
  readonly second: Sequence;
  /** Whether the answer is wanted; true of pairs. */
  readonly wanted: boolean;
}

export interface ItemGroup {
  readonly name: string;
  readonly items: readonly Item[];
  readonly tokens: number;
  /** (items): tokens of the longer sequence of each. */
  readonly lengths: Int32Array;
}

type Encoding = Omit<EncodeOptions, "group">;

/** A prompt with an answer, as the rows that training reads. */
interface Answered {
  readonly prompt: Said;
  readonly answer: Said;
  readonly wanted: boolean;
  readonly extra: Readonly<Record<string, Json>>;
  readonly place: string;
}

/** The sequence of an answer. Throws UserError where nothing of it counts. */
function encoded(row: Pick<Answered, "prompt" | "answer" | "extra" | "place">, options: EncodeOptions): Sequence {
  const sequence = encodeAnswer(row, options);
  if (!sequence.labels.some((label, i) => i > 0 && label >= 0))
    throw new UserError(
      `${row.place}: an answer has no token that counts${sequence.isCut ? ": its prompt fills --max-length" : ""}`,
      sequence.isCut ? "raise --max-length, or leave the row out" : "leave the row out",
    );
  return sequence;
}

/** The two answers of a row. Throws UserError for a row of another form. */
function pairOf({ row, place }: LocatedRow, options: EncodeOptions): Item {
  if (row.form !== "preference")
    throw new UserError(
      `${place}: the method learns from pairs of answers, found a row of ${row.form}`,
      "rows have prompt, chosen and rejected; columns of other names are read so: --columns chosen=better,rejected=worse",
    );
  const { prompt, chosen, rejected, extra } = row;
  if (options.speaks && (typeof chosen === "string" || typeof rejected === "string"))
    throw new UserError(
      `${place}: the method learns from conversations, and the answers are texts`,
      "chosen and rejected are lists of messages, of the assistant that plans and of workers: bun run align plan writes such",
    );
  const of = (answer: Said) => encoded({ prompt, answer, extra, place }, options);
  return { first: of(chosen), second: of(rejected), wanted: true };
}

/** The answers of a row: one with its label, or the two of a pair. Throws UserError for a row of another form. */
function answersOf({ row, place }: LocatedRow): Answered[] {
  const { extra } = row;
  if (row.form === "preference") {
    const { prompt, chosen, rejected } = row;
    return [
      { prompt, answer: chosen, wanted: true, extra, place },
      { prompt, answer: rejected, wanted: false, extra, place },
    ];
  }
  const { label } = extra;
  if (typeof label !== "boolean")
    throw new UserError(
      `${place}: ${label === undefined ? "the row has no label" : `label is ${JSON.stringify(label)}`}, and the method asks which answers are wanted`,
      "rows have prompt, completion and label (true or false), or prompt, chosen and rejected",
    );
  if (row.form === "completion") return [{ prompt: row.prompt, answer: row.completion, wanted: label, extra, place }];
  if (row.form === "messages" && row.countsFrom !== undefined) {
    const { messages, countsFrom } = row;
    const [prompt, answer] = [messages.slice(0, countsFrom), messages.slice(countsFrom)];
    return [{ prompt, answer, wanted: label, extra, place }];
  }
  throw new UserError(
    `${place}: the method learns from answers, found a row of ${row.form}`,
    "rows have prompt, completion and label",
  );
}

/** Whether two texts are of one kind, so that one may answer what the other was asked. */
const alike = (a: Answered, b: Answered) => (typeof a.prompt === "string") === (typeof b.prompt === "string");

/** Items of single answers; the other answer is that of the next row which has another one. */
function withOthers(answers: readonly Answered[], options: EncodeOptions): Item[] {
  const said = answers.map(({ answer }) => JSON.stringify(answer));
  /** The first answer behind the one at `i`, round to it again, that is as asked; the number of answers at most. */
  const next = (i: number, fits: (one: Answered, place: number) => boolean): Answered | undefined => {
    for (let step = 1; step < answers.length; step++) {
      const place = (i + step) % answers.length;
      if (fits(answers[place]!, place)) return answers[place];
    }
    return undefined;
  };
  return answers.map((own, i) => {
    const other =
      next(i, (one, place) => alike(own, one) && one.place !== own.place && said[place] !== said[i]) ??
      next(i, (one) => alike(own, one)) ??
      own;
    const { prompt, extra, place, wanted } = own;
    return {
      first: encoded(own, options),
      second: encoded({ prompt, answer: other.answer, extra, place }, options),
      wanted,
    };
  });
}

/** Reads the rows of all groups. Throws UserError for a row that does not fit. */
export async function readItems(
  groups: readonly GroupReference[],
  encode: Encoding,
  reads: "pairs" | "answers",
): Promise<ItemGroup[]> {
  const found: ItemGroup[] = [];
  for (const [group, source] of groups.entries()) {
    const options = { ...encode, group };
    const items: Item[] = [];
    const answers: Answered[] = [];
    for await (const row of readRows(source)) {
      if (reads === "pairs") items.push(pairOf(row, options));
      else answers.push(...answersOf(row));
    }
    items.push(...withOthers(answers, options));
    if (items.length === 0) throw new UserError(`the group ${source.name} has no rows`, "leave it out");
    const tokens = items.reduce((sum, { first, second }) => sum + first.ids.length + second.ids.length, 0);
    const lengths = Int32Array.from(items, ({ first, second }) => Math.max(first.ids.length, second.ids.length));
    found.push({ name: source.name, items, tokens, lengths });
  }
  return found;
}
