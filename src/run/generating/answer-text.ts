/** The text of an answer as it grows, up to a stop text. */
import type { StreamDecoder, Tokenizer } from "../../data/tokenizer.ts";
import { stopIn } from "./stop-texts.ts";

/**
 * Takes the tokens of an answer one by one. Special tokens are no part of the text, but stop texts see them.
 *
 *   const answer = new Answer(tokenizer, ["\n\n"]);
 *   for (const id of ids) process.stdout.write(answer.push(id));
 *   process.stdout.write(answer.end());
 */
export class Answer {
  readonly ids: number[] = [];
  text = "";
  /** True once a stop text has ended the answer. */
  stopped = false;
  readonly #decoder: StreamDecoder;
  /** Decodes special tokens too; only where there are stop texts. */
  readonly #whole: StreamDecoder | undefined;
  readonly #stops: readonly string[];
  /** The text with special tokens. */
  #seen = "";
  /** Where the text and what is seen stood before each token. */
  readonly #starts: { readonly text: number; readonly seen: number }[] = [];
  /** Letters that were given out. */
  #given = 0;

  constructor(tokenizer: Tokenizer, stops: readonly string[]) {
    this.#decoder = tokenizer.decoder({ skipSpecial: true });
    this.#whole = stops.length > 0 ? tokenizer.decoder() : undefined;
    this.#stops = stops;
  }

  /**
   * Takes a token; returns the text that is certain by now. The end of the text may be the beginning of a stop text.
   */
  push(id: number): string {
    if (this.stopped) return "";
    this.ids.push(id);
    this.#take(this.#decoder.push(id), this.#whole?.push(id) ?? "");
    return this.#settle(false);
  }

  /** No token follows; returns the rest of the text. */
  end(): string {
    if (!this.stopped) this.#take(this.#decoder.end(), this.#whole?.end() ?? "");
    return this.#settle(true);
  }

  /** Adds text, up to the first stop text in what is seen. */
  #take(text: string, seen: string): void {
    this.#starts.push({ text: this.text.length, seen: this.#seen.length });
    this.text += text;
    this.#seen += seen;
    const stops = [stopIn(this.text, this.#stops), this.#cutOf(stopIn(this.#seen, this.#stops))];
    const found = stops.filter((at) => at !== undefined);
    if (found.length === 0) return;
    this.stopped = true;
    this.text = this.text.slice(0, Math.min(...found));
  }

  /** The place in the text of a place in what is seen: inside a special token, where it stands. */
  #cutOf(stop: number | undefined): number | undefined {
    if (stop === undefined) return undefined;
    const token = this.#starts.findLastIndex(({ seen }) => seen <= stop);
    const start = this.#starts[token]!;
    const end = this.#starts[token + 1]?.text ?? this.text.length;
    return Math.min(end, start.text + stop - start.seen);
  }

  #settle(isLast: boolean): string {
    const open = isLast || this.stopped ? 0 : this.#stops.reduce((most, { length }) => Math.max(most, length - 1), 0);
    const certain = Math.max(this.#given, this.text.length - open);
    const fresh = this.text.slice(this.#given, certain);
    this.#given = certain;
    return fresh;
  }
}

/** The text of a whole answer, up to the first stop text. */
export function answerText(tokenizer: Tokenizer, ids: readonly number[], stops: readonly string[]): string {
  const answer = new Answer(tokenizer, stops);
  for (const id of ids) answer.push(id);
  answer.end();
  return answer.text;
}
