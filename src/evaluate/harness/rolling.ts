/**
 * Whole texts of any length, scored in windows that share no prediction, as lm-evaluation-harness does: the first
 * begins behind the token that begins a text, each later one is as long as the model reads and predicts what is new.
 */
import { IGNORED } from "../../data/rows.ts";
import type { Sequence } from "../../data/sequences.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";

export interface RollingOptions {
  readonly tokenizer: Tokenizer;
  /** Most tokens of a window, the last one included, which is predicted and not read. */
  readonly maxLength: number;
  readonly place: string;
}

/** The windows of a text. Throws UserError for a text without tokens, and where no window has room. */
export function rollingWindows(text: string, { tokenizer, maxLength, place }: RollingOptions): Sequence[] {
  const prefix = tokenizer.bos ?? tokenizer.eos;
  if (prefix === undefined) throw new UserError(`${place}: the tokenizer has no token that begins a text`);
  const most = maxLength - 1;
  if (most < 1) throw new UserError(`${place}: windows of ${maxLength} tokens predict nothing`, "raise --max-length");
  const ids = [...tokenizer.encode(text)];
  if (ids.length === 0) throw new UserError(`${place}: the target is empty`, "leave the row out");
  const first = Math.min(most, ids.length);
  const windows = [sequenceOf([prefix, ...ids.slice(0, first)], first, place)];
  for (let done = first; done < ids.length; ) {
    const fresh = Math.min(ids.length - done, most);
    const end = done + fresh;
    windows.push(sequenceOf(ids.slice(end - most - 1, end), fresh, place));
    done = end;
  }
  return windows;
}

/** A window whose last `counted` tokens are predicted. */
function sequenceOf(ids: readonly number[], counted: number, place: string): Sequence {
  const labels = Int32Array.from(ids, (id, i) => (i < ids.length - counted ? IGNORED : id));
  return { ids: Int32Array.from(ids), labels, group: 0, place };
}

/** White space as Python's patterns have it: that of Unicode, and four separators. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these separators are white space to Python
const SPACES = /[\p{White_Space}\u001c-\u001f]+/u;

/** Parts between white space; an empty text is one. */
export const countWords = (text: string): number => text.split(SPACES).length;
