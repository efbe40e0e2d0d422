/**
 * Questions to a command and its answers: a line in, a line out, in order, within a time.
 *
 * By default each batch has a process of its own, whose input ends behind the last question: what any filter of lines
 * expects, whether it answers at once or at the end. A process that is kept serves all batches and has to write each
 * line as soon as it can.
 */
import { ProcessTree } from "./process-tree.ts";

/** Longer lines are no rewards. */
const LONGEST = 2 ** 20;
/** Letters of stderr that are kept. */
const TOLD = 2000;
/** How long output may stay open behind a command that has ended, in ms. */
const REST = 500;

/** Why a command gave no usable lines. */
export type Failure =
  | { readonly kind: "time" }
  | { readonly kind: "ended"; readonly how: string }
  | { readonly kind: "extra"; readonly line: string }
  | { readonly kind: "long" };

export class ExchangeError extends Error {
  readonly failure: Failure;
  /** Lines that came before. */
  readonly lines: readonly string[];
  /** The end of what the command wrote to stderr. */
  readonly told: string;

  constructor(failure: Failure, lines: readonly string[], told: string) {
    super(failure.kind);
    this.failure = failure;
    this.lines = lines;
    this.told = told.trim();
  }
}

/** One process of a command. */
export class Exchange {
  readonly #tree: ProcessTree;
  readonly #keep: boolean;
  readonly #decoder = new TextDecoder();
  #lines: string[] = [];
  #rest = "";
  #told = "";
  #wanted = 0;
  #ended: string | undefined;
  #isClosed = false;
  /** Whether a command that has ended had the time to be heard out. */
  #isHeard = false;
  #failure: Failure | undefined;
  #wake: (() => void) | undefined;

  constructor(command: string, keep: boolean) {
    this.#keep = keep;
    this.#tree = new ProcessTree(command, keep);
    const { child } = this.#tree;
    const heard = () => this.#wake?.();
    child.stdin.on("error", () => {}); // it has ended, or reads nothing; its lines tell
    child.on("error", (error) => {
      this.#ended = error.message;
      this.#isClosed = true;
      heard();
    });
    child.on("exit", (code, signal) => {
      this.#ended = signal === null ? `code ${code}` : `signal ${signal}`;
      setTimeout(() => {
        this.#isHeard = true;
        this.#wake?.();
      }, REST).unref();
      heard();
    });
    child.on("close", () => {
      if (this.#rest !== "") this.#take(this.#rest);
      this.#rest = "";
      this.#isClosed = true;
      heard();
    });
    child.stderr.on("data", (bytes: Buffer) => {
      this.#told = (this.#told + bytes.toString("utf8")).slice(-TOLD);
    });
    child.stdout.on("data", (bytes: Buffer) => {
      if (this.#failure) return;
      const parts = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
      this.#rest = parts.pop()!;
      for (const part of parts) this.#take(part);
      if (this.#rest.length > LONGEST) this.#failure ??= { kind: "long" };
      // What is said now is not listened to, and could go on faster than it is read.
      if (this.#failure) child.stdout.destroy();
      heard();
    });
  }

  #take(line: string): void {
    if (this.#failure) return;
    if (line.length > LONGEST) this.#failure = { kind: "long" };
    else if (this.#lines.length < this.#wanted) this.#lines.push(line);
    else if (line.trim() !== "") this.#failure = { kind: "extra", line };
  }

  /**
   * Asks, and gives a line for each question. Rejects with an ExchangeError, or with the reason of the signal; either
   * way nothing of the command runs on.
   */
  async ask(questions: readonly string[], seconds: number, signal: AbortSignal): Promise<string[]> {
    signal.throwIfAborted();
    this.#lines = [];
    this.#wanted = questions.length;
    const { stdin } = this.#tree.child;
    const text = questions.map((question) => `${question}\n`).join("");
    if (this.#keep) stdin.write(text);
    else stdin.end(text);
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#wake?.();
    }, seconds * 1000);
    const stop = () => this.#wake?.();
    signal.addEventListener("abort", stop);
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#isDone()) break;
        const failure = this.#failure ?? this.#end() ?? (isLate ? ({ kind: "time" } as const) : undefined);
        if (failure) throw new ExchangeError(failure, this.#lines, this.#told);
        await this.#news();
      }
      if (!this.#keep) await this.#rested(signal);
      if (this.#failure) throw new ExchangeError(this.#failure, this.#lines, this.#told);
      return this.#lines;
    } catch (error) {
      this.kill();
      throw error;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #news(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** Whether all lines are there and, of a process that is not kept, it has ended well. */
  #isDone(): boolean {
    if (this.#failure || this.#lines.length < this.#wanted) return false;
    return this.#keep ? true : this.#ended === "code 0";
  }

  /** That the command has ended, and nothing more can come of it. */
  #end(): Failure | undefined {
    if (this.#ended === undefined) return undefined;
    // Behind a good end, something that it started may still write.
    const isOver = this.#isClosed || (this.#isHeard && this.#ended !== "code 0");
    return isOver ? { kind: "ended", how: this.#ended } : undefined;
  }

  /** What the command started is ended with it; lines that it wrote last are still read. */
  async #rested(signal: AbortSignal): Promise<void> {
    this.kill();
    while (!this.#isClosed && !this.#isHeard) {
      signal.throwIfAborted();
      await this.#news();
    }
  }

  /** Ends the command with all that it started. */
  kill(): void {
    this.#tree.kill();
    const { stdin, stdout, stderr } = this.#tree.child;
    for (const stream of [stdin, stdout, stderr]) stream.on("error", () => {});
    stdin.destroy();
  }
}
