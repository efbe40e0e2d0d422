/**
 * `distill self-specialize`: a base model writes instructions of a domain from a few seeds, and answers them with texts
 * of the domain at hand; the rows train it afterwards, best by an adapter and without the texts. Kang et al.,
 * "Self-Specialization: Uncovering Latent Expertise within Large Language Models", 2023,
 * https://arxiv.org/abs/2310.00160
 *
 *   instructions   after --shown seeds, sampled; left out where empty, unfinished, of another shape, or much like one
 *                  that is there
 *   answers        after the same seeds and the --passages texts that have the instruction's words (BM25); left out
 *                  where empty, unfinished, or a copy of the instruction or of a text
 *
 * Every row says which seeds and texts it was made from. With --passages 0 the model answers from what it knows. A
 * second round is the same command on the trained model.
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { textOutput } from "../../cli/output.ts";
import { refuseInputs } from "../../cli/target.ts";
import { Bm25 } from "../../data/bm25.ts";
import { textOfRow } from "../../data/decontamination/row-text.ts";
import { namedValues } from "../../data/named-values.ts";
import { Random } from "../../data/random.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { openGpu } from "../../gpu/gpu.ts";
import { Model } from "../../model/model.ts";
import { openModel } from "../../run/open-model.ts";
import type { SPECIALIZE } from "../specializing/options.ts";
import {
  answerPrompt,
  type Fault,
  instructionPrompt,
  judgeAnswer,
  judgeInstruction,
  rowPrompt,
  type Seed,
} from "../specializing/prompts.ts";
import { Writer } from "../specializing/writer.ts";

type SpecializeContext = Context<typeof SPECIALIZE>;

interface Passage {
  readonly text: string;
  readonly place: string;
}

async function readSeeds(file: string): Promise<Seed[]> {
  const seeds: Seed[] = [];
  for await (const { row, place } of namedValues(file, undefined)) {
    if (row.form !== "completion")
      throw new UserError(`${place}: a seed is an instruction with its answer`, '{"prompt": "..", "completion": ".."}');
    seeds.push({ instruction: row.prompt.trim(), answer: row.completion.trim(), place });
  }
  if (seeds.length === 0) throw new UserError(`${file} has no seeds`, "a few dozen are enough");
  return seeds;
}

async function readCorpus(files: readonly string[]): Promise<Passage[]> {
  const passages: Passage[] = [];
  for (const file of files)
    for await (const located of namedValues(file, undefined))
      passages.push({ text: textOfRow(located, "all").trim(), place: located.place });
  return passages;
}

/** `count` of the seeds, drawn by the attempt. */
function drawn(seeds: readonly Seed[], count: number, random: Random): Seed[] {
  const left = [...seeds];
  return Array.from({ length: Math.min(count, seeds.length) }, () => left.splice(random.below(left.length), 1)[0]!);
}

interface Instruction {
  readonly text: string;
  readonly attempt: number;
  readonly shown: readonly Seed[];
}

/** Writes rows; what is left out is counted by why. */
class Specializing {
  readonly faults = new Map<string, number>();
  readonly #context: SpecializeContext;
  readonly #writer: Writer;
  readonly #seeds: readonly Seed[];
  readonly #corpus: readonly Passage[];
  readonly #index: Bm25;
  readonly #pool: string[];

  constructor(context: SpecializeContext, writer: Writer, seeds: readonly Seed[], corpus: readonly Passage[]) {
    this.#context = context;
    this.#writer = writer;
    this.#seeds = seeds;
    this.#corpus = corpus;
    this.#index = new Bm25(corpus.map(({ text }) => text));
    this.#pool = seeds.map(({ instruction }) => instruction);
  }

  #leave(what: "instruction" | "answer", fault: Fault): void {
    const key = `${what}_${fault}`;
    this.faults.set(key, (this.faults.get(key) ?? 0) + 1);
  }

  /** Seeds as they fit before a prompt: fewer where it would be too long. */
  #fitting(shown: readonly Seed[], promptOf: (shown: readonly Seed[]) => string, tokens: number): string | undefined {
    for (let count = shown.length; count >= 0; count--) {
      const prompt = promptOf(shown.slice(0, count));
      if (this.#writer.fits(prompt, tokens)) return prompt;
    }
    return undefined;
  }

  /** The instructions of some attempts that are kept. */
  async instructions(from: number, count: number): Promise<Instruction[]> {
    const { options, seed } = this.#context;
    const attempts = Array.from({ length: count }, (_, i) => {
      const attempt = from + i;
      const shown = drawn(this.#seeds, options.shown, new Random(seed, "shown", attempt));
      const prompt = this.#fitting(shown, (some) => instructionPrompt(some, options), options.instruction_tokens);
      if (prompt === undefined)
        throw new UserError("the model has no room for an instruction", "lower --instruction-tokens");
      return { attempt, shown, prompt };
    });
    const written = await this.#writer.write({
      prompts: attempts.map(({ prompt }) => prompt),
      keys: attempts.map(({ attempt }) => `instruction ${attempt}`),
      maxTokens: options.instruction_tokens,
      stops: [options.end, options.reply],
    });
    return attempts.flatMap(({ attempt, shown }, i) => {
      const judged = judgeInstruction(written[i]!, this.#pool, options, options.most_alike);
      if ("fault" in judged) {
        this.#leave("instruction", judged.fault);
        return [];
      }
      this.#pool.push(judged.text);
      return [{ text: judged.text, attempt, shown }];
    });
  }

  /** Rows of the instructions whose answers are kept. */
  async rows(instructions: readonly Instruction[]): Promise<Record<string, unknown>[]> {
    const { options, seed } = this.#context;
    if (instructions.length === 0) return [];
    const asked = instructions.map(({ text, shown }) => {
      let passages = this.#index.best(text, options.passages).map((i) => this.#corpus[i]!);
      for (;;) {
        const own = rowPrompt(
          text,
          passages.map((passage) => passage.text),
          options,
        );
        const prompt = this.#fitting(shown, (some) => answerPrompt(some, own, options), options.answer_tokens);
        if (prompt !== undefined) return { passages, prompt };
        if (passages.length === 0) throw new UserError("the model has no room for an answer", "lower --answer-tokens");
        passages = passages.slice(0, -1);
      }
    });
    const written = await this.#writer.write({
      prompts: asked.map(({ prompt }) => prompt),
      keys: instructions.map(({ attempt }) => `answer ${attempt}`),
      maxTokens: options.answer_tokens,
      stops: [options.end],
    });
    return instructions.flatMap(({ text, attempt, shown }, i) => {
      const { passages } = asked[i]!;
      const texts = passages.map((passage) => passage.text);
      const judged = judgeAnswer(written[i]!, text, texts, options);
      if ("fault" in judged) {
        this.#leave("answer", judged.fault);
        return [];
      }
      const keeps = new Random(seed, "passages", attempt).uniform() < options.passage_share;
      return [
        {
          prompt: rowPrompt(text, keeps ? texts : [], options),
          completion: judged.text,
          asked: text,
          seeds: shown.map(({ place }) => place),
          passages: passages.map(({ place }) => place),
        },
      ];
    });
  }
}

/** The rows, as many as are wanted or as the attempts give; each is handed on as it is there. */
async function makeRows(
  context: SpecializeContext,
  work: Specializing,
  put: (row: Record<string, unknown>) => void,
): Promise<{ rows: number; attempts: number }> {
  const { options, progress, signal } = context;
  const most = options.attempts ?? 10 * options.size;
  let [rows, attempts] = [0, 0];
  progress.start({ total: options.size, unit: "rows" });
  while (rows < options.size && attempts < most) {
    signal.throwIfAborted();
    const count = Math.min(options.batch_size, most - attempts);
    const made = await work.rows(await work.instructions(attempts, count));
    attempts += count;
    for (const row of made.slice(0, options.size - rows)) {
      put(row);
      rows++;
      progress.advance(1);
    }
  }
  progress.done();
  return { rows, attempts };
}

export async function selfSpecialize(context: SpecializeContext): Promise<Outcome | undefined> {
  const { options, args, out, seed, signal } = context;
  const [ref = "-", ...more] = args;
  if (more.length > 0) throw new UserError(`one model at a time, found ${args.join(" ")}`, "name one");
  if (options.reply === "" || options.end === "")
    throw new UserError("--reply and --end are what ends instructions and answers", "give a text, such as a new line");
  const files = [options.seeds, ...(options.corpus ?? [])];
  refuseInputs(out, [ref, ...files]);
  const seeds = await readSeeds(options.seeds);
  const corpus = options.passages === 0 ? [] : await readCorpus(options.corpus ?? []);
  const warn = (text: string) => context.warn(text);
  const opened = await openModel(ref, options, warn);
  context.onExit(() => opened.checkpoint.close());
  const tokenizer: Tokenizer | undefined = opened.tools?.tokenizer;
  if (opened.task !== "causal-lm" || !tokenizer)
    throw new UserError(
      `${opened.ref} ${opened.task === "causal-lm" ? "has no tokenizer" : `is a ${opened.task}`}`,
      "a language model that reads text writes instructions",
    );
  const target = context.dryRun || (options.json && out === "-") ? undefined : textOutput(out);
  context.onExit((ok) => (ok ? target?.commit() : target?.discard()));
  if (context.dryRun) {
    context.json({ seeds: seeds.length, passages: corpus.length, size: options.size });
    return {};
  }
  target?.write("");
  const gpu = await openGpu({ device: context.device });
  context.onExit(() => gpu.close());
  const model = await Model.load(gpu, opened.checkpoint, { freeze: () => true, loadIn: options.load_in, warn });
  const writer = new Writer(model, tokenizer, { temperature: options.temperature, seed, signal });
  const work = new Specializing(context, writer, seeds, corpus);
  const { rows, attempts } = await makeRows(context, work, (row) =>
    target?.write(`${JSON.stringify({ ...row, model: opened.ref })}\n`),
  );
  writer.free();
  model.free();
  const left = Object.fromEntries([...work.faults].toSorted());
  if (rows < options.size)
    context.warn(`${rows} of ${options.size} rows after ${attempts} attempts; left out: ${JSON.stringify(left)}`);
  context.json({ rows, attempts, left_out: left });
  return out === "-" ? undefined : { output: `${out} (${rows} rows of ${attempts} attempts)` };
}
