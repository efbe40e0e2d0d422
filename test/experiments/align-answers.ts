/** What experiments with rewarded answers share: a folder for scripts, a small decoder of characters, its answers. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../support/command.ts";
import { inLab, mean } from "./curriculum-lab.ts";

export interface Asked {
  readonly prompt: string;
  /** The right answer. */
  readonly answer: string;
}

/** An answer that was sampled. */
export interface Answer<A extends Asked> {
  readonly asked: A;
  readonly text: string;
  /** Without the one that ends it. */
  readonly tokens: number;
}

/** An end and single characters. */
function tokenizerOf(characters: string): string {
  const vocab = Object.fromEntries(["<end>", ...new Set(characters)].map((character, id) => [character, id]));
  const plain = { single_word: false, lstrip: false, rstrip: false };
  return JSON.stringify({
    version: "1.0",
    added_tokens: [{ id: 0, content: "<end>", special: true, normalized: false, ...plain }],
    pre_tokenizer: { type: "Split", pattern: { Regex: "." }, behavior: "Isolated", invert: false },
    decoder: { type: "Fuse" },
    model: { type: "WordLevel", vocab, unk_token: "<end>" },
  });
}

export class AnswerLab {
  readonly #folder: string;
  readonly #seed: number;
  #logs = 0;

  private constructor(folder: string, seed: number) {
    [this.#folder, this.#seed] = [folder, seed];
  }

  /** Makes a folder with the config and the tokenizer of a decoder of two layers and up to 31 characters. */
  static on<T>(
    { seed, characters }: { readonly seed: number; readonly characters: string },
    work: (lab: AnswerLab) => Promise<T>,
  ): Promise<T> {
    return inLab(({ folder }) => {
      mkdirSync(join(folder, "letters"));
      const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
      write("letters/tokenizer.json", tokenizerOf(characters));
      write("letters/tokenizer_config.json", '{"eos_token": "<end>", "pad_token": "<end>"}');
      const sizes = { n_embd: 32, n_layer: 2, n_head: 4, n_positions: 64, vocab_size: 32 };
      write("config.json", JSON.stringify({ model_type: "gpt2", ...sizes, initializer_range: 0.1 }));
      return work(new AnswerLab(folder, seed));
    });
  }

  write(name: string, rows: readonly unknown[]): void {
    writeFileSync(join(this.#folder, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }

  read<T>(name: string): T[] {
    const lines = readFileSync(join(this.#folder, name), "utf8").trimEnd().split("\n");
    return lines.map((line) => JSON.parse(line));
  }

  /** Runs a script with the seed of the experiment. Throws when it fails. */
  async run(script: string, line: string): Promise<string> {
    const argv = `${line} --seed ${this.#seed} -q`.split(" ");
    const { code, err, text } = await runScript(script, argv, this.#folder);
    if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
    return text;
  }

  /** Trains a decoder on rows by cross-entropy, at a constant rate. */
  async train(from: string, line: string, into: string): Promise<void> {
    const settings = "--batch-size 64 --schedule constant --clip 1 --save-every 0 --overwrite";
    await this.run("train", `${from} ${settings} ${line} -o ${into}`);
  }

  /** Aligns a model on rewards of its answers; the rollouts as the log tells them. */
  async align(from: string, line: string, into: string): Promise<Record<string, number>[]> {
    const log = `run-${this.#logs++}.log`;
    const settings = `--weight-decay 0 --save-every 0 --overwrite --log ${log}`;
    await this.run("align", `${from} ${settings} ${line} -o ${into}`);
    return this.read<Record<string, number> & { event: string }>(log).filter(({ event }) => event === "rollout");
  }

  /** Answers to prompts that are asked for them as they stand. */
  async answers<A extends Asked>(model: string, asked: readonly A[], how: string): Promise<Answer<A>[]> {
    this.write("asked.jsonl", asked);
    const text = await this.run("sample", `${model} --prompts asked.jsonl --batch-size 256 --json ${how}`);
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
      .map(({ index, text, tokens }) => ({ asked: asked[index]!, text, tokens }));
  }
}

/** Whether the last number that is written is the answer. */
export const isRight = ({ asked, text }: Answer<Asked>): boolean => {
  const last = text.match(/\d+/g)?.at(-1);
  return last !== undefined && Number(last) === Number(asked.answer);
};

export const shareOf = <T>(all: readonly T[], holds: (one: T) => boolean): number =>
  mean(all.map((one) => (holds(one) ? 1 : 0)));

export const meanTokens = (answers: readonly Answer<Asked>[]): number => mean(answers.map(({ tokens }) => tokens));
