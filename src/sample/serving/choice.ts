/** One answer of a request, in the making. */
import type { Tokenizer } from "../../data/tokenizer.ts";
import { Answer } from "../../run/generating/answer-text.ts";
import type { Generated, RowOptions } from "../../run/generating/generate.ts";
import { type TokenLog, tokenLog } from "./log-probs.ts";

/** Why an answer ended: an end token or a stop text, or its length. */
export type Finish = "stop" | "length";

/** What has come since the piece before. */
export interface Piece {
  readonly text: string;
  /** Of the tokens since then, where they were asked for. */
  readonly logs: readonly TokenLog[];
}

export interface ChoiceOptions {
  readonly tokenizer: Tokenizer;
  readonly stops: readonly string[];
  /** The likeliest tokens that are told beside each; undefined: no log-probabilities. */
  readonly logprobs: number | undefined;
  /** Whether the token that ends an answer is among those that are told. */
  readonly tellsEnd: boolean;
  /** Hears pieces as they become certain. */
  readonly hear?: (piece: Piece) => void;
}

/** A row of a batch: what is asked, and what takes its tokens. */
export class Choice {
  readonly ids: readonly number[];
  readonly row: RowOptions & { readonly maxTokens: number };
  /** With the seed it decides what is drawn. */
  readonly key: string;
  readonly signal: AbortSignal;
  readonly logs: TokenLog[] = [];
  /** Tokens that were made, an end token too. */
  tokens = 0;
  finish: Finish | undefined;
  readonly #answer: Answer;
  readonly #options: ChoiceOptions;
  #done = false;
  #heard = 0;
  #fresh = "";

  constructor(asked: Pick<Choice, "ids" | "row" | "key" | "signal">, options: ChoiceOptions) {
    this.ids = asked.ids;
    this.row = asked.row;
    this.key = asked.key;
    this.signal = asked.signal;
    this.#options = options;
    this.#answer = new Answer(options.tokenizer, options.stops);
  }

  /** Whether its last token was made. */
  get done(): boolean {
    return this.#done;
  }

  get text(): string {
    return this.#answer.text;
  }

  /** Takes a token; true where it is the last, or nobody listens any more. */
  push(id: number): boolean {
    this.#fresh += this.#answer.push(id);
    return this.#answer.stopped || this.signal.aborted;
  }

  /** Takes what is known of the token that was pushed, or that ended the answer. */
  take({ id, chosen, logits, done }: Pick<Generated, "id" | "chosen" | "logits" | "done">): void {
    this.tokens++;
    const { logprobs, tellsEnd } = this.#options;
    if (logprobs !== undefined && (id >= 0 || tellsEnd)) this.logs.push(tokenLog(chosen, logits, logprobs));
    if (done) {
      this.#done = true;
      this.#fresh += this.#answer.end();
      this.finish = id < 0 || this.#answer.stopped ? "stop" : "length";
    }
    this.#tell();
  }

  #tell(): void {
    const { hear } = this.#options;
    if (!hear || (this.#fresh === "" && this.#heard === this.logs.length)) return;
    hear({ text: this.#fresh, logs: this.logs.slice(this.#heard) });
    this.#fresh = "";
    this.#heard = this.logs.length;
  }
}
