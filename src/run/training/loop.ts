/**
 * The training loop: the only one there is. It draws micro-batches, runs steps a few ahead of what it has heard back of, logs,
 * evaluates, saves, and stops where it should.
 */
import type { Log } from "../../cli/log.ts";
import { UserError } from "../../errors.ts";
import type { BatchSource } from "./batch-source.ts";
import type { Controllers } from "./controller.ts";
import type { HeldOut } from "./held-out.ts";
import type { StepResult, Trainer } from "./trainer.ts";

/** Steps that may be under way before the loop waits for the oldest. */
const AHEAD = 3;

export interface LoopOptions<B> {
  readonly trainer: Trainer<B>;
  readonly source: BatchSource<B>;
  /** Learning rate of a step, from 1. */
  readonly rate: (step: number) => number;
  readonly steps: number;
  /** Steps that are done already. */
  readonly from: number;
  /** Micro-batches of a step. */
  readonly accumulate: number;
  readonly log: Log;
  readonly logEvery: number;
  readonly signal: AbortSignal;
  /** Held-out loss by name; called every `evalEvery` steps and at the end. */
  readonly evaluate?: (step: number) => Promise<void>;
  readonly evalEvery: number;
  /** Saves the state after a step; called every `saveEvery` steps, and when the user interrupts. */
  readonly save?: (step: number, seen: number) => Promise<void>;
  readonly saveEvery: number;
  readonly seen: number;
  readonly describe?: (batch: B) => string;
  readonly onStep?: (result: StepResult, rate: number) => void;
  readonly controllers: Controllers;
  readonly heldOut?: HeldOut;
  /** Bytes on the GPU, for the log. */
  readonly gpuBytes: () => number;
}

/** Runs to the last step, or to the interruption. Throws UserError (exit 1) when the loss or a gradient is not finite. */
export async function trainLoop<B>(
  options: LoopOptions<B>,
): Promise<{ step: number; seen: number; last?: StepResult }> {
  const { trainer, source, steps, from, accumulate, signal, controllers } = options;
  const ahead = controllers.hears ? 1 : AHEAD;
  const pending: {
    result: Promise<StepResult>;
    batches: readonly B[];
    epoch: number;
    values: ReturnType<Controllers["values"]>;
  }[] = [];
  let { seen } = options;
  let last: StepResult | undefined;
  // Results arrive in bunches, so speed is that over the last few. Pauses (evaluating, saving) do not count.
  let recent = [{ time: performance.now(), size: 0 }];
  const pauseEnds = () => {
    recent = [{ time: performance.now(), size: 0 }];
  };

  const hear = async () => {
    const { result: promise, batches, epoch, values } = pending.shift()!;
    const result = await promise;
    const wrong = Object.entries(result.metrics).find(([, value]) => !Number.isFinite(value));
    if (wrong || !Number.isFinite(result.gradNorm)) throw await notFinite(options, result, batches, values.all, wrong);
    last = result;
    controllers.heard(result);
    recent.push({ time: performance.now(), size: result.size });
    if (recent.length > 2 * AHEAD) recent.shift();
    const size = recent.slice(1).reduce((sum, one) => sum + one.size, 0);
    const speed = (1000 * size) / (recent.at(-1)!.time - recent[0]!.time);
    options.onStep?.(result, speed);
    if (result.step % options.logEvery !== 0 && result.step !== steps) return;
    options.log.event("step", {
      step: result.step,
      epoch,
      ...values.logged,
      ...result.metrics,
      lr: result.lr,
      grad_norm: result.gradNorm,
      tokens: result.size,
      counted: result.counted,
      tokens_per_s: Math.round(speed),
      gpu_bytes: options.gpuBytes(),
    });
  };
  const hearAll = async () => {
    while (pending.length > 0) await hear();
  };

  let step = from;
  while (step < steps && !signal.aborted) {
    step++;
    const drawn: { batch: B; epoch: number }[] = [];
    for (let i = 0; i < accumulate; i++) drawn.push(await source.next());
    const batches = drawn.map(({ batch }) => batch);
    const values = controllers.values(step);
    const { result } = await trainer.step(step, options.rate(step), batches, values.all);
    pending.push({ result, batches, values, epoch: drawn[0]!.epoch });
    // Results are heard in order, some steps late, so that the GPU is never idle.
    while (pending.length >= ahead) await hear();
    seen += batches.length;
    const due = (every: number) => every > 0 && step % every === 0;
    const stopping = signal.aborted && step < steps;
    for (const controller of controllers.due(step)) {
      await hearAll();
      await controller.after!(step, options.heldOut);
      pauseEnds();
    }
    if ((due(options.evalEvery) || step === steps) && options.evaluate && !stopping) {
      await hearAll();
      await options.evaluate(step);
      pauseEnds();
    }
    if (options.save && ((due(options.saveEvery) && step < steps) || stopping)) {
      await hearAll(); // nothing is saved that was not seen to be finite
      await options.save(step, seen);
      pauseEnds();
    }
  }
  await hearAll();
  return { step, seen, ...(last ? { last } : {}) };
}

/** What to say of a step that went wrong: which, on what rows, and the gradients that stand out. */
async function notFinite<B>(
  { trainer, describe, from }: LoopOptions<B>,
  { step, gradNorm }: StepResult,
  batches: readonly B[],
  values: Readonly<Record<string, number>>,
  wrong: [string, number] | undefined,
): Promise<UserError> {
  const what = wrong ? `${wrong[0]} is ${wrong[1]}` : `the norm of the gradients is ${gradNorm}`;
  const rows = describe ? `, on ${batches.map(describe).join("; ")}` : "";
  const found = await trainer.largestGradients(step, batches, 3, values);
  const largest = found.map(({ name, norm }) => `${name} ${norm.toPrecision(3)}`);
  return new UserError(
    `step ${step}: ${what}${rows}; largest gradients: ${largest.join(", ")}`,
    from === 0 && step === 1
      ? "look at the model's own weights, or at these rows"
      : "lower --lr, add --warmup or --clip 1, or look at these rows",
    1,
  );
}
