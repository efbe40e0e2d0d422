/** The capability of a loss that is given a wanted answer beside every row to forget: a field of the row. */
import { REFUSALS } from "../data/facts/words.ts";
import { Random } from "../data/random.ts";
import { encodeRow, type Sequence } from "../data/sequences.ts";
import { UserError } from "../errors.ts";
import type { Options } from "../method/options.ts";
import type { ForgetSet, UnlearnCapability } from "./capability.ts";
import { completions, type Wanted, WantedAnswers } from "./wanted-answers.ts";

const OPTIONS = {
  answers: {
    type: "'refusal' | 'alternative'",
    help: "field of a row that holds the wanted answer; refusal when left out, one is drawn for rows without",
  },
} as const satisfies Options;

/**
 * A row's `refusal`, or one drawn from a list where it has none; or its `alternative`. One sequence for each of the
 * set's, found by the place of the row. Throws UserError for rows that are not prompt and completion, and for a row
 * without an alternative.
 */
export async function answersOf(
  { sequences, groups, tools, seed, method }: ForgetSet,
  field: "refusal" | "alternative",
): Promise<Sequence[]> {
  const found = new Map<string, Sequence>();
  for await (const { row, place } of completions(groups, method)) {
    const given = row.extra[field];
    if (field === "alternative" && typeof given !== "string")
      throw new UserError(`${place}: the row has no alternative`, "add a field alternative, or leave out --answers");
    const text = typeof given === "string" ? given : new Random(seed, "refusal", place).pick(REFUSALS);
    const completion = /^\s/.test(row.completion) && !/^\s/.test(text) ? ` ${text}` : text;
    const [sequence] = encodeRow({ row: { ...row, completion }, place }, { ...tools.encode, group: 0 });
    found.set(place, sequence!);
  }
  return sequences.map(({ place }) => found.get(place)!);
}

export const rowAnswers: UnlearnCapability<Wanted, typeof OPTIONS> = {
  name: "row-answers",
  options: OPTIONS,
  readsAgain: true,
  async supply({ answers: field = "refusal" }, set) {
    const answers = new WantedAnswers(await answersOf(set, field), set.pad);
    return {
      ask: (asking) => answers.ask(asking),
      record: (rec, recording) => answers.record(rec, recording),
      fill: (program, rows) => answers.fill(program, rows),
      beside: (rows) => answers.beside(rows),
      state: () => answers.state(),
      load: (state) => answers.load(state),
    };
  },
};
