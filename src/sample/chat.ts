/**
 * `sample --chat` without a prompt: a conversation in turns. At a terminal the user writes lines and commands; through
 * a pipe every line is a turn.
 */
import { createInterface } from "node:readline";
import { isatty } from "node:tty";
import type { Message } from "../data/rows.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import type { ModelSizes } from "../model/architecture.ts";
import type { CommandContext } from "../run/command-context.ts";
import { Answer } from "../run/generating/answer-text.ts";
import type { Continuer } from "../run/generating/generate.ts";
import { checkPrompt, PromptEncoder } from "../run/generating/prompts.ts";
import type { TextTools } from "../run/text-tools.ts";
import type { SAMPLE } from "./options.ts";
import { samplingOf } from "./sampling-options.ts";

const HELP = `/reset  forget the conversation
/exit   end; so does Ctrl-D
/help   this list
//...   a line that begins with /
Ctrl-C  ends the answer that is being written`;

/** What a conversation asks of the command line. */
export interface TalkContext extends Pick<CommandContext, "seed" | "out" | "signal" | "info"> {
  readonly options: Values<typeof SAMPLE> & { readonly json: boolean };
  readonly stdoutTaken: boolean;
  /** A result as a line of JSON. */
  line(value: unknown): void;
  /** A result as text. */
  text(text: string): void;
  /** A part of a text, to stdout at once. */
  write(text: string): void;
}

/** What a line at a terminal asks for; `say` is a turn. */
type Asked = { readonly does: "say"; readonly text: string } | { readonly does: "reset" | "exit" | "help" | "unknown" };

/** Reads a line that was typed. */
export function asked(line: string): Asked {
  if (line.startsWith("//")) return { does: "say", text: line.slice(1) };
  if (!line.startsWith("/")) return { does: "say", text: line };
  const name = line.slice(1).trim();
  return { does: name === "reset" || name === "exit" || name === "help" ? name : "unknown" };
}

/** Throws UserError for options that a conversation has no use for. */
export function checkChat({ samples, effort }: TalkContext["options"], args: readonly string[]): void {
  if (effort !== undefined)
    throw new UserError("--effort stands behind a prompt, and a conversation has none", 'give it: --chat "TEXT"');
  if (samples > 1)
    throw new UserError(
      `--samples ${samples}: a conversation goes on from one answer`,
      'leave it out, or give the prompt: --chat "TEXT"',
    );
  if (args.length === 0 || args[0] === "-")
    throw new UserError(
      "the model comes from stdin, where the turns would come from",
      "write the model to a file first",
    );
}

/** Who answers: a model, or several under the name of the first. */
export interface Talker {
  readonly writer: Continuer;
  readonly sizes: ModelSizes;
  readonly ref: string;
}

/** A conversation with a model. */
class Conversation {
  readonly #context: TalkContext;
  readonly #talker: Talker;
  readonly #tokenizer: Tokenizer;
  readonly #encoder: PromptEncoder;
  #messages: Message[] = [];
  #turn = 0;
  tokens = 0;

  constructor(context: TalkContext, talker: Talker, { tokenizer, encode }: TextTools) {
    this.#context = context;
    this.#talker = talker;
    this.#tokenizer = tokenizer!;
    this.#encoder = new PromptEncoder(context.options, tokenizer!, encode.template);
  }

  reset(): void {
    this.#messages = [];
  }

  /**
   * Takes a turn of the user and gives the answer, its text as it is certain to `hear`. `signal` ends the answer, which
   * stays in the conversation as far as it came. Throws UserError where the conversation is too long; the turn is then
   * no part of it.
   */
  async say(text: string, signal: AbortSignal, hear: (fresh: string) => void): Promise<Answer> {
    const { options, seed } = this.#context;
    const messages: Message[] = [...this.#messages, { role: "user", content: text }];
    const prompt = this.#encoder.conversation(messages, text, { place: undefined });
    try {
      checkPrompt(prompt, this.#talker.sizes, this.#talker.ref);
    } catch (error) {
      if (!(error instanceof UserError) || this.#turn === 0) throw error;
      throw new UserError(`turn ${this.#turn + 1}: ${error.message}`, "begin a new conversation");
    }
    const answer = new Answer(this.#tokenizer, options.stop ?? []);
    const turn = this.#turn++;
    const sampling = {
      ...samplingOf(options, seed, this.#tokenizer),
      keys: [`${turn}.0`],
      names: [`turn ${turn + 1}`],
    };
    for await (const { id } of this.#talker.writer.generate([prompt.ids], { ...sampling, signal, goesOn: true })) {
      if (id < 0) continue;
      this.tokens++;
      hear(answer.push(id));
      if (answer.stopped) break;
    }
    hear(answer.end());
    this.#messages = [...messages, { role: "assistant", content: answer.text }];
    return answer;
  }

  free(): void {
    this.#talker.writer.free();
  }
}

/** Talks until there are no more lines; returns how many tokens the model wrote. */
export async function chat(context: TalkContext, talker: Talker, tools: TextTools): Promise<number> {
  const talk = new Conversation(context, talker, tools);
  try {
    await (isatty(0) ? atTerminal(context, talk) : throughPipe(context, talk));
  } finally {
    talk.free();
  }
  return talk.tokens;
}

/** Every line is a turn; empty ones are none. */
async function throughPipe(context: TalkContext, talk: Conversation): Promise<void> {
  const { options, signal } = context;
  const isLive = !options.json && !context.stdoutTaken && context.out === "-";
  let index = 0;
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY })) {
    if (line.trim() === "") continue;
    const answer = await talk.say(line, signal, (fresh) => (isLive && fresh !== "" ? context.write(fresh) : undefined));
    if (signal.aborted) return;
    const { text, ids } = answer;
    if (options.json) context.line({ prompt: line, sample: 0, text, tokens: ids.length, ids, index: index++ });
    else if (isLive) context.write("\n");
    else context.text(text);
  }
}

/** Lines and commands that a user types; Ctrl-C ends an answer, Ctrl-D the conversation. */
async function atTerminal(context: TalkContext, talk: Conversation): Promise<void> {
  const { options, signal } = context;
  const lines = createInterface({ input: process.stdin, output: process.stderr, prompt: "> ", terminal: true });
  const typed: string[] = [];
  let wake = Promise.withResolvers<void>();
  let over = false;
  let answering: AbortController | undefined;
  lines.on("line", (line) => {
    typed.push(line);
    wake.resolve();
  });
  lines.on("close", () => {
    over = true;
    answering?.abort();
    wake.resolve();
  });
  lines.on("SIGINT", () => {
    if (answering) answering.abort();
    else context.info("/exit or Ctrl-D ends; /help lists the commands");
    if (!answering) lines.prompt();
  });
  const stop = () => lines.close();
  signal.addEventListener("abort", stop);
  context.info("a line is a turn; /help lists the commands");
  let index = 0;
  try {
    for (;;) {
      if (typed.length === 0 && !over) {
        lines.prompt();
        await wake.promise;
        wake = Promise.withResolvers<void>();
      }
      const line = typed.shift();
      if (line === undefined) {
        if (over) return;
        continue;
      }
      const wish = asked(line);
      if (wish.does === "exit") return;
      if (wish.does === "say") {
        if (wish.text.trim() === "") continue;
        answering = new AbortController();
        await answerAt(context, talk, wish.text, { signal: answering.signal, index: index++, json: options.json });
        answering = undefined;
      } else if (wish.does === "reset") talk.reset();
      else context.info(`${wish.does === "help" ? "" : `${line} is no command`}\n${HELP}`);
    }
  } finally {
    signal.removeEventListener("abort", stop);
    lines.close();
  }
}

/** One answer at a terminal; what is wrong with the turn is said, and the conversation goes on without it. */
async function answerAt(
  context: TalkContext,
  talk: Conversation,
  prompt: string,
  { signal, index, json }: { readonly signal: AbortSignal; readonly index: number; readonly json: boolean },
): Promise<void> {
  const isLive = !json && context.out === "-";
  try {
    const answer = await talk.say(prompt, signal, (fresh) =>
      isLive && fresh !== "" ? context.write(fresh) : undefined,
    );
    const { text, ids } = answer;
    if (json) context.line({ prompt, sample: 0, text, tokens: ids.length, ids, index });
    else if (isLive) context.write("\n");
    else context.text(text);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    context.info(`${error.message}; /reset forgets the conversation`);
  }
}
