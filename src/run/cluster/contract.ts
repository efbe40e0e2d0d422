/**
 * What can be trained by many: rounds of tasks whose answers are bytes. Everyone who knows the answers of a round takes
 * the same step by them, so that the start and the answers of all rounds are the whole of a training's state. So is
 * what `save` gives after some rounds, with the answers of those after them.
 */
export interface RoundJob {
  readonly rounds: number;
  /** Tasks of a round. */
  readonly tasks: number;
  /**
   * Does a task of a round (from 1), by weights to which all rounds before were applied, and leaves these as they were.
   * Who does it makes no difference.
   */
  work(round: number, task: number): Promise<Uint8Array>;
  /** What is wrong with an answer that came from elsewhere; undefined where it can be applied. */
  refusal(task: number, answer: Uint8Array): string | undefined;
  /** Takes the step of a round by the answers to its tasks, in their order. Bit for bit the same everywhere. */
  apply(round: number, answers: readonly Uint8Array[]): Promise<void>;
  /** Digest of the weights. */
  digest(): Promise<string>;
  /** How many bytes `save` gives, about. */
  readonly stateBytes: number;
  /** All that is needed to go on after the last round that was applied; a list of parts, read once. */
  save(): Promise<readonly Uint8Array[]>;
  /** Becomes what saved this after a round (from 1). Throws UserError for parts that are of no such job. */
  load(round: number, parts: readonly Uint8Array[]): Promise<void>;
}

/** Does all rounds alone; `after` hears the end of each. */
export async function doAlone(
  job: RoundJob,
  signal: AbortSignal,
  after: (round: number, answers: readonly Uint8Array[]) => Promise<void>,
): Promise<void> {
  for (let round = 1; round <= job.rounds; round++) {
    signal.throwIfAborted();
    const answers: Uint8Array[] = [];
    for (let task = 0; task < job.tasks; task++) answers.push(await job.work(round, task));
    await job.apply(round, answers);
    await after(round, answers);
  }
}
