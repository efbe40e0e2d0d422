/** A model, or several that write together, behind one name of a server. */
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { collate, type TokenBatch } from "../../data/batch.ts";
import type { Message } from "../../data/rows.ts";
import { endOfTurn } from "../../data/sequences.ts";
import { encodePrompt } from "../../data/special-tokens.ts";
import { type ChatTemplate, plainTemplate } from "../../data/template.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { JsonObject } from "../../json.ts";
import { CombinedRows } from "../../run/combining/combined-rows.ts";
import { CombinedScorer } from "../../run/combining/combined-scorer.ts";
import { checkMapped } from "../../run/combining/mapped.ts";
import { viewed } from "../../run/combining/rule.ts";
import { type Continuer, Generator } from "../../run/generating/generate.ts";
import { GREEDY } from "../../run/generating/sampling.ts";
import type { DescribedModel } from "../../run/open-model.ts";
import { AllLogits, type RowLogits } from "../../run/scoring/all-logits.ts";
import { Scorer } from "../../run/scoring/scorer.ts";
import type { ChosenRule, LoadedModels } from "../sources.ts";
import type { Choice } from "./choice.ts";
import { guessLog, type TokenLog, tokenLog } from "./log-probs.ts";
import { TokenTexts } from "./token-texts.ts";

type Opened = DescribedModel & { readonly checkpoint: Checkpoint };

/** A text whose tokens are to be judged. */
export interface Asked {
  readonly ids: readonly number[];
  /** The likeliest tokens that are told at each place. */
  readonly count: number;
}

export interface ServedOptions {
  readonly name: string;
  /** The first one answers to the name; the others take part. */
  readonly opened: readonly Opened[];
  readonly loaded: LoadedModels;
  readonly chosen: ChosenRule | undefined;
  /**
   * What judges texts where no rule does: the first model, which then writes alone and with all of its layers, or all
   * that write, token by token; undefined where what is said of a token depends on where the answer began.
   */
  readonly judge: "first" | "all" | undefined;
  /** Answers that are made at once. */
  readonly batch: number;
}

export class ServedModel {
  readonly name: string;
  readonly tokenizer: Tokenizer;
  readonly texts: TokenTexts;
  readonly #template: ChatTemplate;
  readonly #options: ServedOptions;
  /** For one answer, and for several: each has a cache of its own. */
  readonly #alone: Continuer;
  readonly #together: Continuer;
  readonly #scorer: Pick<Scorer, "score" | "free"> | undefined;
  readonly #rows: RowLogits | undefined;

  /** Models have tokenizers. They are freed with this. */
  constructor(options: ServedOptions, tokenizer: Tokenizer) {
    const { name, opened, loaded, chosen, judge, batch } = options;
    const [first] = loaded.models;
    this.name = name;
    this.tokenizer = tokenizer;
    this.texts = new TokenTexts(tokenizer);
    this.#template = opened[0]?.tools?.encode.template ?? plainTemplate(endOfTurn(tokenizer));
    this.#options = options;
    this.#alone = loaded.writer();
    this.#together = batch > 1 ? loaded.writer() : this.#alone;
    if (chosen) {
      const rows = new CombinedRows(chosen.rule, loaded.models, tokenizer.pad ?? 0);
      this.#scorer = new CombinedScorer(rows, { moments: false, probabilities: false });
      this.#rows = rows;
    } else if (judge === "first" && first) {
      this.#scorer = new Scorer(first);
      this.#rows = new AllLogits(first);
    }
  }

  /** Whether texts can be judged. */
  get judges(): boolean {
    return this.#options.chosen !== undefined || this.#options.judge !== undefined;
  }

  get positions(): number {
    return this.#alone.sizes.maxPositions;
  }

  get outputs(): number {
    return Math.min(...this.#options.opened.map(({ sizes }) => sizes.outputs));
  }

  /** A text that is continued, with what stands before texts. */
  encode(text: string): number[] {
    return [...encodePrompt(this.tokenizer, text)];
  }

  /** A conversation up to where the answer begins. Throws UserError where the template refuses it. */
  encodeChat(messages: readonly Message[], values: JsonObject): number[] {
    const rendered = this.#template.render(messages, { generationPrompt: true, values });
    return [...this.tokenizer.encode(rendered, { special: false })];
  }

  /** Throws UserError where a prompt becomes too long behind another one of the rule. */
  check(ids: readonly number[], maxTokens: number): void {
    const { chosen, opened } = this.#options;
    if (!chosen) return;
    const seen = viewed(opened.slice(0, chosen.rule.views.reduce((most, { model }) => Math.max(most, model), 0) + 1));
    checkMapped(chosen.rule, seen, { ids, place: "the prompt", maxTokens });
  }

  /** Writes answers, at most `batch` of them. What is drawn for each does not depend on the others. */
  async write(choices: readonly Choice[]): Promise<void> {
    const { batch } = this.#options;
    const writer = choices.length === 1 ? this.#alone : this.#together;
    const full = choices.length === 1 ? 1 : batch;
    // A batch has one size, so that its programs are compiled once; rows that nobody asked for end at once.
    const idle = Array.from({ length: full - choices.length }, () => [0]);
    const rows = [...choices.map(({ row }) => row), ...idle.map(() => ({ maxTokens: 1 }))];
    const prompts = [...choices.map(({ ids }) => ids), ...idle];
    for await (const made of writer.generate(prompts, {
      ...GREEDY,
      maxTokens: Math.max(...rows.map(({ maxTokens }) => maxTokens)),
      stop: this.tokenizer.ends,
      rows,
      keys: prompts.map((_, row) => choices[row]?.key ?? `idle ${row}`),
      ends: (row, id) => choices[row]?.push(id) ?? true,
    }))
      choices[made.row]?.take(made);
  }

  /** What is said of every token of texts, at most `batch` of them. */
  async judge(asked: readonly Asked[]): Promise<TokenLog[][]> {
    const rows = this.#rows;
    if (!this.#scorer || !rows || asked.some(({ count }) => count > 1)) {
      const all: TokenLog[][] = [];
      for (const one of asked) all.push(await (rows ? this.#wholly(rows, one) : this.#stepwise(one)));
      return all;
    }
    const batch = collated(asked, this.tokenizer);
    const { nll, argmax, confidence } = await this.#scorer.score(batch);
    return asked.map(({ ids, count }, row) =>
      ids.map((id, at) => {
        if (at === 0) return { id, log: undefined, top: [] };
        const place = row * batch.length + at - 1;
        return guessLog(id, { nll: nll[place]!, best: argmax[place]!, confidence: confidence[place]!, count });
      }),
    );
  }

  /** With all logits of the text in the host's memory. */
  async #wholly(rows: RowLogits, one: Asked): Promise<TokenLog[]> {
    const logits = await rows.of(collated([one], this.tokenizer));
    const { outputs } = rows;
    return one.ids.map((id, at) =>
      at === 0
        ? { id, log: undefined, top: [] }
        : tokenLog(id, logits.subarray((at - 1) * outputs, at * outputs), one.count),
    );
  }

  /** Token by token, as it would be written. */
  async #stepwise({ ids, count }: Asked): Promise<TokenLog[]> {
    const logs: TokenLog[] = [{ id: ids[0]!, log: undefined, top: [] }];
    if (ids.length === 1 || !(this.#alone instanceof Generator)) return logs;
    const forced = (_: number, place: number) => ids[place];
    const asked = { ...GREEDY, maxTokens: ids.length - 1, stop: [], forced };
    for await (const { chosen, logits } of this.#alone.generate([[ids[0]!]], asked))
      logs.push(tokenLog(chosen, logits, count));
    return logs;
  }

  /** Takes the memory that answers of so many tokens need, and runs nothing. Gives the bytes of the caches. */
  async plan(longest: number, maxTokens: number): Promise<number> {
    const { batch } = this.#options;
    const alone = await this.#alone.plan(1, longest, maxTokens);
    return batch > 1 ? alone + (await this.#together.plan(batch, longest, maxTokens)) : alone;
  }

  async free(): Promise<void> {
    await this.#scorer?.free();
    if (!this.#options.chosen) this.#rows?.free();
    this.#alone.free();
    if (this.#together !== this.#alone) this.#together.free();
    this.#options.loaded.free();
  }
}

function collated(asked: readonly Asked[], tokenizer: Tokenizer): TokenBatch {
  const sequences = asked.map(({ ids: list }) => {
    const ids = Int32Array.from(list);
    return [{ ids, labels: ids.slice(), group: 0, place: "the prompt" }];
  });
  return collate(sequences, { pad: tokenizer.pad ?? 0 });
}
