/** The texts of single tokens, as log-probabilities name them. */
import type { Tokenizer } from "../../data/tokenizer.ts";

/** What a decoder gives for bytes that are no character by themselves. */
const BROKEN = "\ufffd";

export class TokenTexts {
  readonly #tokenizer: Tokenizer;
  /** A token that others are decoded behind, so that a space at their beginning stays. */
  readonly #before: readonly number[];
  readonly #texts = new Map<number, string>();

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#before = [...tokenizer.encode("a", { special: false })].slice(-1);
  }

  /** The text of a token behind another one; `token_id:N` where it has no text of its own, as parts of characters. */
  of(id: number): string {
    const known = this.#texts.get(id);
    if (known !== undefined) return known;
    const start = this.#tokenizer.decode(this.#before);
    const text = this.#tokenizer.decode([...this.#before, id]).slice(start.length);
    const told = text === "" || text.includes(BROKEN) ? `token_id:${id}` : text;
    this.#texts.set(id, told);
    return told;
  }
}
