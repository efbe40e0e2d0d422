/**
 * What a model in training answers to the same prompts, on the way: its most likely words. Nothing of the training
 * changes: no random number is drawn, no weight written.
 */
import fs from "node:fs";
import { NAME_TOKENIZER } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import type { CommandContext } from "../command-context.ts";
import { answerText } from "../generating/answer-text.ts";
import { Generator } from "../generating/generate.ts";
import { checkPrompt, type Prompt, readPrompts } from "../generating/prompts.ts";
import { GREEDY } from "../generating/sampling.ts";
import type { DescribedModel } from "../open-model.ts";

/** Most tokens of an answer. */
const MOST = 64;
/** Prompts that are answered at once. */
const BATCH = 8;

/**
 * Reads --sample-prompts: a file of rows where there is one of that name, else a text. Throws UserError for a prompt
 * that the model cannot continue.
 */
export async function readSamplePrompts(
  values: readonly string[],
  columns: string | undefined,
  { ref, sizes, tools }: DescribedModel,
): Promise<Prompt[]> {
  if (values.length === 0) return [];
  if (!tools?.tokenizer)
    throw new UserError(
      `--sample-prompts: ${ref} ${tools ? "has no tokenizer.json" : "is a classifier, which writes nothing"}`,
      tools ? NAME_TOKENIZER : "leave it out",
    );
  const found: Prompt[] = [];
  for (const value of values) {
    const isFile = fs.existsSync(value) && fs.statSync(value).isFile();
    if (!isFile && /\.(jsonl?|parquet|csv|tsv)(\.(gz|zst))?$/.test(value))
      throw new UserError(`--sample-prompts ${value}: there is no such file`, "check the path");
    const from = isFile ? { prompts: value, columns } : { prompt: [value] };
    const encoding = { tokenizer: tools.tokenizer, template: tools.encode.template };
    found.push(...(await readPrompts({ ...from, chat: false }, { args: [], isStdinFree: false }, encoding)));
  }
  for (const prompt of found) checkPrompt(prompt, sizes, ref);
  return found;
}

/** Answers prompts as often as it is asked. */
export class StepSamples {
  readonly #prompts: readonly Prompt[];
  readonly #tokenizer: NonNullable<NonNullable<DescribedModel["tools"]>["tokenizer"]>;
  readonly #context: Pick<CommandContext, "info" | "warn" | "log" | "signal">;
  readonly #generator: Generator;

  constructor(model: Model, prompts: readonly Prompt[], { tools, ref }: DescribedModel, context: CommandContext) {
    this.#prompts = prompts;
    this.#tokenizer = tools!.tokenizer!;
    this.#context = context;
    this.#generator = new Generator(model, ref);
  }

  /** Says and logs the answers of the model as it is after a step. */
  async show(step: number): Promise<void> {
    const { info, warn, log, signal } = this.#context;
    const options = { ...GREEDY, maxTokens: MOST, stop: this.#tokenizer.ends, batch: BATCH, signal };
    let answers: number[][];
    try {
      answers = await this.#generator.complete(
        this.#prompts.map(({ ids }) => ids),
        options,
      );
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      warn(`step ${step}: no answers to --sample-prompts: ${error.message}`);
      return;
    }
    for (const [i, ids] of answers.entries()) {
      const { text: prompt } = this.#prompts[i]!;
      const text = answerText(this.#tokenizer, ids, []);
      info(`step ${step}: ${JSON.stringify(prompt)} -> ${JSON.stringify(text)}`);
      log.event("sample", { step, prompt, text, tokens: ids.length });
    }
  }

  free(): void {
    this.#generator.free();
  }
}
