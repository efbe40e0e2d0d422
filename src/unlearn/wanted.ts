/** The answers that are wanted instead of those to forget: a refusal, or another answer, of the same prompt. */
import type { GroupReference } from "../data/groups.ts";
import { readRows } from "../data/jsonl.ts";
import { Random } from "../data/random.ts";
import { encodeRow, type Sequence } from "../data/sequences.ts";
import { REFUSALS } from "../data/tasks/facts-words.ts";
import { UserError } from "../errors.ts";
import type { TextTools } from "../train/data-source.ts";

/** One sequence per row of `groups`, by the place of the row. Throws UserError for rows that are no prompt and completion. */
export async function wantedAnswers(
  groups: readonly GroupReference[],
  tools: TextTools,
  field: "refusal" | "alternative",
  seed: number,
): Promise<ReadonlyMap<string, Sequence>> {
  const found = new Map<string, Sequence>();
  for (const { path } of groups) {
    for await (const { row, place } of readRows(path)) {
      if (row.form !== "completion")
        throw new UserError(`${place}: dpo needs rows of prompt and completion, found a row of ${row.form}`);
      const given = row.extra[field];
      if (field === "alternative" && typeof given !== "string")
        throw new UserError(`${place}: the row has no alternative`, "add a field alternative, or leave out --answers");
      const text = typeof given === "string" ? given : new Random(seed, "refusal", place).pick(REFUSALS);
      const completion = /^\s/.test(row.completion) && !/^\s/.test(text) ? ` ${text}` : text;
      const [sequence] = encodeRow({ row: { ...row, completion }, place }, { ...tools.encode, group: 0 });
      found.set(place, sequence!);
    }
  }
  return found;
}
