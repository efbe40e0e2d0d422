/**
 * A reward model at work: a number for an answer to a prompt. Of a model of whole answers it is that of its head; of a
 * model of steps it is made of the probabilities that the steps are right.
 *
 *   const judge = await RewardModel.open(gpu, "reward/");
 *   const rewards = await judge.score([{ prompt: "2+2=", answer: "4", place: "answer 1" }]);
 *   judge.free();
 */
import { type Answer, encodeAnswer } from "../../data/answered.ts";
import type { Sequence } from "../../data/sequences.ts";
import { encodeSteps } from "../../data/steps.ts";
import { NAME_TOKENIZER } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { openModel } from "../open-model.ts";
import { Programs } from "../programs.ts";
import type { TextOptions, TextTools } from "../text-tools.ts";
import { headLogits } from "./sequence-rewards.ts";

/** What an answer is worth by its steps: the least of their probabilities, their product, mean, or the last one. */
export const STEP_FOLDS = {
  min: (p: readonly number[]) => Math.min(...p),
  product: (p: readonly number[]) => p.reduce((a, b) => a * b, 1),
  mean: (p: readonly number[]) => p.reduce((a, b) => a + b, 0) / p.length,
  last: (p: readonly number[]) => p.at(-1)!,
} as const;

export interface RewardModelOptions extends TextOptions {
  /** Answers that are run at once; 16 when left out. */
  readonly rows?: number;
  /** How matrices are held; as they are stored when left out. */
  readonly dtype?: "f32" | "bf16" | "keep";
  /** Of a model of steps: the text between steps; a line end when left out. */
  readonly separator?: string;
  /** Of a model of steps; "min" when left out. */
  readonly fold?: keyof typeof STEP_FOLDS;
  readonly warn?: (message: string) => void;
}

/** Probability of the second of two labels. */
const rightness = (logits: Float32Array, at: number): number => 1 / (1 + Math.exp(logits[at]! - logits[at + 1]!));

/** A model that gives rewards, before its weights are read. Throws UserError for one that gives none. */
async function openRewarding(ref: string, options: RewardModelOptions) {
  const { checkpoint, architecture, answers, sizes, json } = await openModel(ref, options, options.warn);
  try {
    const isSteps = architecture.classHead === "tokens";
    if (!answers || sizes.outputs !== (isSteps ? 2 : 1))
      throw new UserError(
        `${ref} gives no reward: it is a ${json.model_type} ${architecture.task}${answers ? ` of ${sizes.outputs} labels` : ""}`,
        "bun run align MODEL --method reward --data pairs.jsonl makes a reward model of a language model",
      );
    if (!answers.tokenizer) throw new UserError(`${ref} has no tokenizer`, NAME_TOKENIZER);
    return { checkpoint, answers };
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

export class RewardModel {
  readonly ref: string;
  readonly #model: Model;
  readonly #tools: TextTools;
  readonly #options: RewardModelOptions;
  readonly #programs: Programs;

  private constructor(ref: string, model: Model, tools: TextTools, options: RewardModelOptions) {
    this.ref = ref;
    this.#model = model;
    this.#tools = tools;
    this.#options = options;
    this.#programs = new Programs(model.gpu);
  }

  /** Throws UserError for a model that gives no reward, from its config and tokenizer alone. */
  static async check(ref: string, options: RewardModelOptions = {}): Promise<void> {
    (await openRewarding(ref, options)).checkpoint.close();
  }

  /** Loads a reward model. Throws UserError for a model that gives no reward. */
  static async open(gpu: Gpu, ref: string, options: RewardModelOptions = {}): Promise<RewardModel> {
    const { warn } = options;
    const { checkpoint, answers } = await openRewarding(ref, options);
    try {
      const model = await Model.load(gpu, checkpoint, {
        dtype: options.dtype ?? "keep",
        freeze: () => true,
        ...(warn ? { warn } : {}),
      });
      return new RewardModel(ref, model, answers, options);
    } finally {
      checkpoint.close();
    }
  }

  /** A reward for every answer, in their order. Throws UserError for one that cannot be read, naming its place. */
  async score(answers: readonly Answer[], signal?: AbortSignal): Promise<Float64Array> {
    const isSteps = this.#model.architecture.classHead === "tokens";
    const sequences = answers.map((answer) =>
      isSteps ? this.#steps(answer) : encodeAnswer(answer, this.#tools.encode),
    );
    const logits = await headLogits(this.#model, sequences, {
      ...{ ref: this.ref, rows: this.#options.rows ?? 16, pad: this.#tools.tokenizer?.pad ?? 0 },
      ...{ signal, programs: this.#programs },
    });
    if (!isSteps) return Float64Array.from(logits, ([reward]) => reward!);
    const fold = STEP_FOLDS[this.#options.fold ?? "min"];
    return Float64Array.from(logits, (own, i) => {
      const ends = [...sequences[i]!.labels.keys()].filter((at) => sequences[i]!.labels[at]! >= 0);
      return fold(ends.map((at) => rightness(own, 2 * at)));
    });
  }

  /** The steps of an answer, divided at separators. */
  #steps({ prompt, answer, place }: Answer): Sequence {
    const { separator = "\n" } = this.#options;
    if (typeof prompt !== "string" || typeof answer !== "string")
      throw new UserError(`${place}: a model of steps reads prompts and answers of text`, "give texts for messages");
    const parts = answer.split(separator).filter((step) => step.trim() !== "");
    const steps = parts.length > 0 ? parts : [answer];
    const { tokenizer, encode } = this.#tools;
    const options = { tokenizer: tokenizer!, separator, maxLength: encode.maxLength ?? Number.POSITIVE_INFINITY };
    return encodeSteps({ prompt, steps, labels: steps.map(() => 0), place }, options);
  }

  free(): void {
    this.#programs.free();
    this.#model.free();
  }
}
