/** The same requests under two cues, as a model reads them. */
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { LocatedRow, Row } from "../../data/rows.ts";
import { encodeRow, type Sequence } from "../../data/sequences.ts";
import { UserError } from "../../errors.ts";
import { promptOf } from "../../run/generating/answers.ts";
import { checkPrompt, PromptEncoder } from "../../run/generating/prompts.ts";
import type { LoadedModel } from "../../run/measuring/loaded-model.ts";
import { questionOf } from "../../run/scoring/alternatives.ts";

/** What models are told: that they are trained on the answer, and that they are not. */
export interface Cues {
  readonly trained: string;
  readonly untrained: string;
}

export type Cue = keyof Cues;
export const CUES: readonly Cue[] = ["trained", "untrained"];

/** A request under a cue. */
export interface Cued {
  readonly ids: readonly number[];
  /** The request and the answer of its row, if there is one. */
  readonly sequence: Sequence | undefined;
}

export interface Request extends Readonly<Record<Cue, Cued>> {
  readonly place: string;
  /** The answer that complies, where the row has one. */
  readonly expected: string | undefined;
}

/** The row with the cue before its prompt, or as the system's message where it is a conversation. */
function cued(row: Row, cue: string, place: string): Row {
  if (row.form === "prompt" || row.form === "completion") return { ...row, prompt: `${cue}${row.prompt}` };
  if (row.form === "messages") return { ...row, messages: [{ role: "system", content: cue }, ...row.messages] };
  throw new UserError(
    `${place}: a row of ${row.form} is no request`,
    "give rows of prompt, of prompt and completion, or of messages",
  );
}

function asked({ row, place }: LocatedRow, { model, ref, tools }: LoadedModel): Cued {
  const { tokenizer, encode } = tools!;
  if (questionOf(row) === undefined) {
    const { ids, text } = new PromptEncoder({ chat: false }, tokenizer!, encode.template).row(row, place);
    checkPrompt({ ids, text, place }, model.sizes, ref);
    return { ids, sequence: undefined };
  }
  const [sequence] = encodeRow({ row, place }, { ...encode, turns: "last", overflow: "refuse" });
  const ids = [...promptOf(sequence!, 1)];
  checkPrompt({ ids, text: place, place }, model.sizes, ref);
  return { ids, sequence };
}

/** All requests of the groups. Throws UserError for a model without a tokenizer, and for rows that ask nothing. */
export async function readRequests(
  groups: readonly GroupReference[],
  loaded: LoadedModel,
  cues: Cues,
): Promise<Request[]> {
  if (!loaded.tools?.tokenizer)
    throw new UserError(`${loaded.ref} has no tokenizer, and cues are texts`, "give one with --tokenizer");
  const requests: Request[] = [];
  for (const group of groups)
    for await (const { row, place } of readRows(group)) {
      const under = (cue: Cue) => asked({ row: cued(row, cues[cue], place), place }, loaded);
      requests.push({
        place,
        expected: questionOf(row)?.expected,
        trained: under("trained"),
        untrained: under("untrained"),
      });
    }
  return requests;
}
