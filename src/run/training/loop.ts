/**
 * The training loop: the only one there is. It draws micro-batches, runs steps a few ahead of the results that it has
 * heard, logs, evaluates, saves, and stops where it should.
 */
import { UserError } from "../../errors.ts";
import type { Log } from "../command-context.ts";
import type { BatchSource, DrawnBatch } from "./batch-source.ts";
import type { Controllers } from "./controller.ts";
import { type GroupLoss, type HeldOutLosses, meanOfGroups, meansOfGroups } from "./held-out.ts";
import type { Objective } from "./objective.ts";
import type { StepResult, Trainer } from "./trainer.ts";

/** Steps that may be under way before the loop waits for the oldest. */
const AHEAD = 3;

const due = (every: number, step: number): boolean => every > 0 && step % every === 0;

/** What a loop works with. */
export interface LoopParts<B> {
  readonly trainer: Trainer<B>;
  readonly objective: Objective<B>;
  readonly source: BatchSource<B>;
  /** Learning rate of a step, from 1. */
  readonly rate: (step: number) => number;
  readonly steps: number;
  /** Micro-batches of a step. */
  readonly accumulate: number;
  readonly controllers: Controllers;
  readonly heldOut: HeldOutLosses | undefined;
  /** Bytes on the GPU, for the log. */
  readonly gpuBytes: () => number;
  /** Further numbers for the log, as they are when a step is under way. */
  readonly more?: (() => Readonly<Record<string, number>>) | undefined;
}

/** How a training runs. Nothing here changes its result. */
export interface RunOptions {
  readonly signal: AbortSignal;
  readonly log?: Pick<Log, "event">;
  /** Steps between lines of the log; 1 when left out. */
  readonly logEvery?: number;
  readonly warn?: (message: string) => void;
  /** Hears every step, with the tokens or examples per second of late. */
  readonly onStep?: (result: StepResult, speed: number) => void;
  /** Hears the held-out losses every `evalEvery` steps and after the last; true ends the training. */
  readonly evaluate?: (step: number, losses: readonly GroupLoss[]) => Promise<boolean>;
  /** 0 or left out: after the last step only. */
  readonly evalEvery?: number;
  /** Saves the state before the first step, every `saveEvery` steps, and when the signal aborts. */
  readonly save?: (step: number) => Promise<void>;
  readonly saveEvery?: number;
  /** Saves it after the last step, too. */
  readonly saveLast?: boolean;
  /** Looks at the model every `sampleEvery` steps and after the last, and changes nothing of it. */
  readonly sample?: (step: number) => Promise<void>;
  readonly sampleEvery?: number;
  /** Rests after this step, or after the last one: the training may go on, and nothing is ended. */
  readonly until?: number;
  /** Acts after a step; true ends the training. */
  readonly after?: (step: number) => Promise<boolean>;
  /** What trains, for messages: the model's name. */
  readonly name?: string;
  /** What may help when a loss is not finite. */
  readonly advice?: string;
}

/** A step that is under way. */
interface Pending<B> {
  readonly result: Promise<StepResult>;
  readonly batches: readonly B[];
  readonly epoch: number;
  readonly values: ReturnType<Controllers["values"]>;
  readonly more: Readonly<Record<string, number>>;
}

/** Runs of a loop: what the steps so far have given. */
export class TrainingLoop<B> {
  readonly #parts: LoopParts<B>;
  readonly #options: RunOptions;
  readonly #pending: Pending<B>[] = [];
  #last: StepResult | undefined;
  #idle = false;
  /** Whether `evaluate` ended the training. */
  over = false;
  // Results arrive in bunches, so speed is that over the last few. Pauses (evaluating, saving) do not count.
  #recent = [{ time: performance.now(), size: 0 }];
  #heldOutLosses: { readonly step: number; readonly losses: readonly GroupLoss[] } | undefined;

  constructor(parts: LoopParts<B>, options: RunOptions) {
    this.#parts = parts;
    this.#options = options;
  }

  /**
   * Runs the steps after `from` to the last one, to an interruption, or until `after` ends it; calls `done` with
   * every step. Throws UserError (exit 1) when a loss or a gradient is not finite.
   */
  async run(from: number, done: (step: number) => void): Promise<StepResult | undefined> {
    const { controllers, steps } = this.#parts;
    const { signal, save, after, saveEvery = 0, saveLast = false, until = steps } = this.#options;
    for (let step = from + 1; step <= Math.min(steps, until) && !signal.aborted; step++) {
      await this.#start(step);
      done(step);
      for (const controller of controllers.due(step))
        await this.#pause(() => controller.after!(step, this.heldOut(step)));
      const over = await this.#look(step);
      if (save && saveLast && (over || step === steps)) await this.#pause(() => save(step));
      if (over) break;
      // Asked last: a signal may come while controllers act and the model is evaluated.
      const stopping = signal.aborted && step < steps;
      if (save && ((due(saveEvery, step) && step < steps) || stopping)) await this.#pause(() => save(step));
      if (after && (await this.#pause(() => after(step)))) break;
    }
    await this.#hearAll();
    return this.#last;
  }

  /**
   * Evaluates and samples where a step is due; true where that ends the training. An interrupted run that saves its
   * state evaluates too: the run that resumes does not come to this step again.
   */
  async #look(step: number): Promise<boolean> {
    const { signal, save, evaluate, evalEvery = 0, sample, sampleEvery = 0 } = this.#options;
    const isLast = step === this.#parts.steps;
    const isLost = signal.aborted && !isLast && !save;
    const evaluates = evaluate && !isLost && (due(evalEvery, step) || isLast);
    const over =
      evaluates &&
      (await this.#pause(() => this.#measured(async () => evaluate(step, (await this.heldOut(step)?.losses()) ?? []))));
    const samples = sample && !signal.aborted && (due(sampleEvery, step) || isLast || over);
    if (samples) await this.#pause(() => this.#measured(() => sample(step)));
    this.over = over === true;
    return this.over;
  }

  /** With the weights that are measured, where an optimizer trains others. */
  #measured<T>(run: () => Promise<T>): Promise<T> {
    return this.#parts.trainer.updater.measured(run);
  }

  /** Held-out losses at a step, measured once for all who ask, and logged. */
  heldOut(step: number): HeldOutLosses | undefined {
    const { heldOut } = this.#parts;
    if (!heldOut) return undefined;
    const losses = async () => {
      if (this.#heldOutLosses?.step !== step) {
        const values = this.#parts.controllers.values(step).all;
        this.#heldOutLosses = { step, losses: await this.#measured(() => heldOut.losses(values)) };
        logHeldOut(this.#options.log, step, this.#heldOutLosses.losses);
      }
      return this.#heldOutLosses.losses;
    };
    return { groups: heldOut.groups, losses };
  }

  async #start(step: number): Promise<void> {
    const { trainer, source, rate, accumulate, controllers } = this.#parts;
    const drawn: DrawnBatch<B>[] = [];
    for (let i = 0; i < accumulate; i++) drawn.push(await source.next());
    const away = drawn.reduce((sum, one) => sum + (one.away ?? 0), 0);
    if (away > 0) this.#recent = this.#recent.map(({ time, size }) => ({ time: time + away, size }));
    const batches = drawn.map(({ batch }) => batch);
    const values = controllers.values(step);
    const { result } = await trainer.step(step, rate(step), batches, values.all);
    this.#pending.push({ result, batches, values, epoch: drawn[0]!.epoch, more: this.#parts.more?.() ?? {} });
    // Results are heard in order, some steps late, so that the GPU is never idle.
    const ahead = controllers.hears || this.#options.after ? 1 : AHEAD;
    while (this.#pending.length >= ahead) await this.#hear();
  }

  /**
   * Waits for all steps, so that nothing acts on weights that were not seen to be finite, and stops the clock
   * meanwhile.
   */
  async #pause<T>(act: () => Promise<T>): Promise<T> {
    await this.#hearAll();
    const found = await act();
    this.#recent = [{ time: performance.now(), size: 0 }];
    return found;
  }

  async #hearAll(): Promise<void> {
    while (this.#pending.length > 0) await this.#hear();
  }

  async #hear(): Promise<void> {
    const { controllers, steps } = this.#parts;
    const { log, logEvery = 1, onStep } = this.#options;
    const pending = this.#pending.shift()!;
    const result = await pending.result;
    const wrong = Object.entries(result.metrics).find(([, value]) => !Number.isFinite(value));
    const isLost = !Number.isFinite(result.gradNorm);
    if (isLost && !wrong && controllers.skips()) {
      this.#parts.trainer.updater.goOn();
      log?.event("skip", { step: result.step, ...pending.values.logged });
      return;
    }
    if (wrong || isLost) throw await this.#notFinite(result, pending, wrong);
    this.#last = result;
    this.#warnOfNothing(result, pending.batches);
    controllers.heard(result);
    const speed = this.#speed(result.size);
    onStep?.(result, speed);
    if (result.step % logEvery !== 0 && result.step !== steps) return;
    log?.event("step", {
      step: result.step,
      epoch: pending.epoch,
      ...pending.values.logged,
      ...result.metrics,
      lr: result.lr,
      grad_norm: result.gradNorm,
      tokens: result.size,
      counted: result.counted,
      tokens_per_s: Math.round(speed),
      gpu_bytes: this.#parts.gpuBytes(),
      ...pending.more,
    });
  }

  /** Tokens or examples per second over the last steps. */
  #speed(size: number): number {
    this.#recent.push({ time: performance.now(), size });
    if (this.#recent.length > 2 * AHEAD) this.#recent.shift();
    const sum = this.#recent.slice(1).reduce((all, one) => all + one.size, 0);
    return (1000 * sum) / (this.#recent.at(-1)!.time - this.#recent[0]!.time);
  }

  /** Warns of the first step whose loss counts nothing. */
  #warnOfNothing({ step, counted }: StepResult, batches: readonly B[]): void {
    if (counted > 0 || this.#idle) return;
    this.#idle = true;
    const rows = this.#placesOf(batches);
    this.#options.warn?.(
      `step ${step} learned nothing: its loss counts no token${rows}; raise --max-length, or leave out rows without an answer`,
    );
  }

  /** Where rows are from: ", on a.jsonl:1, a.jsonl:2". */
  #placesOf(batches: readonly B[]): string {
    const { describe } = this.#parts.objective;
    const places = describe ? batches.map(describe).filter((place) => place !== "") : [];
    return places.length > 0 ? `, on ${places.join("; ")}` : "";
  }

  /** What to say of a step that went wrong: which, on what rows, and the gradients that stand out. */
  async #notFinite(
    { step, gradNorm }: StepResult,
    { batches, values }: Pending<B>,
    wrong: [string, number] | undefined,
  ): Promise<UserError> {
    const { name, advice = "lower --lr, add --warmup or --clip 1, or look at these rows" } = this.#options;
    const what = wrong ? `${wrong[0]} is ${wrong[1]}` : `the norm of the gradients is ${gradNorm}`;
    const found = await this.#parts.trainer.largestGradients(step, batches, 3, values.all);
    const largest = found.map(({ name, norm }) => `${name} ${norm.toPrecision(3)}`);
    return new UserError(
      `${name === undefined ? "" : `${name}: `}step ${step}: ${what}${this.#placesOf(batches)}; largest gradients: ${largest.join(", ")}`,
      step === 1 ? "look at the model's own weights, or at these rows" : advice,
      1,
    );
  }
}

/** Writes a line for each group, and one for all. */
function logHeldOut(log: RunOptions["log"], step: number, losses: readonly GroupLoss[]): void {
  for (const { name, loss, counted } of losses)
    log?.event("eval", { step, name: "loss", group: name, value: loss, n: counted });
  log?.event("eval", { step, name: "loss", value: meanOfGroups(losses) });
  for (const [name, value] of Object.entries(meansOfGroups(losses))) log?.event("eval", { step, name, value });
}
