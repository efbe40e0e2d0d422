/** The text of an answer as it grows, up to a stop text. */
import type { StreamDecoder, Tokenizer } from "../data/tokenizer.ts";
import { stopIn } from "../run/generating/stop-texts.ts";

/**
 * Takes the tokens of an answer one by one.
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
  readonly #stops: readonly string[];
  /** Letters that were given out. */
  #given = 0;

  constructor(tokenizer: Tokenizer, stops: readonly string[]) {
    this.#decoder = tokenizer.decoder({ skipSpecial: true });
    this.#stops = stops;
  }

  /**
   * Takes a token; returns the text that is certain by now. The end of the text may be the beginning of a stop text.
   */
  push(id: number): string {
    if (this.stopped) return "";
    this.ids.push(id);
    this.text += this.#decoder.push(id);
    return this.#settle(false);
  }

  /** No token follows; returns the rest of the text. */
  end(): string {
    if (!this.stopped) this.text += this.#decoder.end();
    return this.#settle(true);
  }

  #settle(isLast: boolean): string {
    const stop = stopIn(this.text, this.#stops);
    if (stop !== undefined) {
      this.text = this.text.slice(0, stop);
      this.stopped = true;
    }
    const open = isLast || this.stopped ? 0 : this.#stops.reduce((most, { length }) => Math.max(most, length - 1), 0);
    const certain = Math.max(this.#given, this.text.length - open);
    const fresh = this.text.slice(this.#given, certain);
    this.#given = certain;
    return fresh;
  }
}
