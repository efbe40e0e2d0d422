/**
 * A context and what continues it, as lm-evaluation-harness scores them: the continuation alone counts, nothing ends
 * it, and a context that is too long loses its beginning. Spaces at the end of a context belong to the continuation.
 */
import { IGNORED } from "../../data/rows.ts";
import type { Sequence } from "../../data/sequences.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";

export interface Continuation {
  readonly sequence: Sequence;
  /** Tokens that count. */
  readonly tokens: number;
  /** False where the continuation by itself is too long; it is then cut, and its likelihood unknown. */
  readonly isWhole: boolean;
  /** Whether the context lost its beginning. */
  readonly isCut: boolean;
}

export interface ContinuationOptions {
  readonly tokenizer: Tokenizer;
  /** Most tokens of context and continuation. */
  readonly maxLength: number;
  readonly group: number;
  readonly place: string;
}

/** Throws UserError where nothing can stand before the continuation, or it has no tokens. */
export function encodeContinuation(
  context: string,
  continuation: string,
  { tokenizer, maxLength, group, place }: ContinuationOptions,
): Continuation {
  const start = context.trimEnd();
  const { ids, from } = split(tokenizer, start, context.slice(start.length) + continuation, place);
  const first = Math.max(0, ids.length - maxLength);
  const labels = ids.map((id, i) => (i < from ? IGNORED : id));
  const tokens = ids.length - from;
  if (tokens < 1)
    throw new UserError(`${place}: ${JSON.stringify(continuation).slice(0, 60)} has no tokens`, "leave it out");
  return {
    sequence: { ids: ids.subarray(first), labels: labels.subarray(first), group, place },
    tokens,
    isWhole: from > first,
    isCut: first > 0,
  };
}

/** All tokens, and the place of the first of the continuation. */
function split(tokenizer: Tokenizer, context: string, continuation: string, place: string) {
  const before = encodePrompt(tokenizer, context);
  if (before.length > 0) {
    const ids = encodePrompt(tokenizer, context + continuation);
    let agreed = 0;
    while (agreed < before.length && before[agreed] === ids[agreed]) agreed++;
    // The harness counts from where the context ends; where tokens join over the border there may be none left.
    return { ids, from: ids.length > before.length ? before.length : Math.max(1, Math.min(agreed, ids.length - 1)) };
  }
  const prefix = tokenizer.bos ?? tokenizer.eos;
  if (prefix === undefined)
    throw new UserError(
      `${place}: the prompt is empty, and the tokenizer has no token that begins a text`,
      "give the row a prompt",
    );
  return { ids: Int32Array.of(prefix, ...tokenizer.encode(continuation)), from: 1 };
}
