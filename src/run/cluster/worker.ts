/** Who does tasks: joins at any time, takes the steps that were taken before it came, and asks for work. */
import { UserError } from "../../errors.ts";
import { type Board, type Entry, placeOf } from "./board.ts";
import type { RoundJob } from "./contract.ts";
import { COORDINATOR, taskSubject } from "./coordinator.ts";
import type { ReaderEvents } from "./events.ts";
import { LogReader } from "./round-log.ts";

export interface WorkerOptions {
  readonly name: string;
  readonly lag: number;
  /** As the coordinator has it. */
  readonly copies?: number;
  /** Seconds for which nobody may hand out tasks. */
  readonly wait: number;
  readonly signal: AbortSignal;
  readonly events: ReaderEvents;
}

export class Worker {
  /** Tasks that were done here. */
  tasks = 0;
  readonly #board: Board;
  readonly #job: RoundJob;
  readonly #options: WorkerOptions;
  readonly #log: LogReader;
  #said = Number.NEGATIVE_INFINITY;
  #moved = performance.now();
  #returns = 0;
  /** Tasks of this round that were answered here: another copy of one is for another worker. */
  readonly #answered = new Set<number>();
  #answeredIn = 0;
  /** Whether tasks that were given to this worker may be left. */
  #left = true;

  constructor(board: Board, job: RoundJob, options: WorkerOptions) {
    this.#board = board;
    this.#job = job;
    this.#options = options;
    this.#log = new LogReader(board, job, options.events);
  }

  /** Works to the last round. Throws UserError where nobody hands out tasks for too long. */
  async run(): Promise<void> {
    const { signal } = this.#options;
    await this.#board.groups();
    for (;;) {
      signal.throwIfAborted();
      await this.#word();
      const before = this.#log.round;
      await this.#log.catchUp();
      if (this.#log.round > before) this.#moved = performance.now();
      if (this.#log.round >= this.#job.rounds) return this.#board.forget(this.#options.name);
      if (this.#log.stuck) {
        await this.#waitForCheckpoint();
        continue;
      }
      const [entry] = await this.#next();
      if (entry) await this.#do(entry);
      else await this.#expectCoordinator();
    }
  }

  /** A task that is given here meanwhile becomes another's. Throws UserError after too long a wait. */
  async #waitForCheckpoint(): Promise<void> {
    const { wait, lag } = this.#options;
    this.#left = true;
    if (performance.now() - this.#moved > 1000 * wait)
      throw new UserError(
        `rounds after round ${this.#log.round} were removed, and the checkpoint in their place is refused`,
        "who hands tasks out writes another in time: start this worker again then",
        1,
      );
    await Bun.sleep(Math.min(2000, 500 * lag));
  }

  async #word(): Promise<void> {
    if (performance.now() - this.#said < 250 * this.#options.lag) return;
    this.#said = performance.now();
    await this.#board.word(this.#options.name);
  }

  /** A task: one that was left, a new one, or one that another has held for too long. */
  async #next(): Promise<readonly Entry[]> {
    const { name: as, lag } = this.#options;
    if (this.#returns !== this.#board.connection.returns) {
      this.#returns = this.#board.connection.returns;
      this.#left = true;
    }
    if (this.#left) {
      const own = await this.#board.task(as, "given", 0);
      if (own.length > 0) return own;
      this.#left = false;
    }
    const block = Math.min(500, 250 * lag);
    const fresh = await this.#board.task(as, "new", block);
    return fresh.length > 0 ? fresh : this.#board.takeOver(as, 1000 * lag);
  }

  async #do({ id, fields }: Entry): Promise<void> {
    const { name, events } = this.#options;
    const subject = taskSubject(id, this.#job.tasks);
    const { round } = placeOf(id);
    const opened = await this.#board.open(subject, fields);
    // A task that was trimmed while it was pending has no fields: its round is over.
    if ("fault" in opened && Object.keys(fields).length > 0) events.refused(`task ${id}`, opened.fault);
    if (!("fault" in opened)) await this.#log.catchUp(round - 1);
    if (this.#log.stuck) return;
    if (!("fault" in opened) && round === this.#log.round + 1 && !this.#isOwnCopy(id)) {
      const payload = await this.#job.work(round, subject.task);
      const to = `${round}-${subject.task}`;
      const said = await this.#board.fields({ kind: "answer", round, task: subject.task, from: name }, payload);
      await this.#board.connection.send("XADD", this.#board.key("answers"), "*", "t", to, ...said);
      this.tasks++;
      this.#answered.add(subject.task);
      this.#moved = performance.now();
    }
    await this.#board.taskDone(id);
  }

  /** Whether this is a copy, as they were first handed out, of what was answered here. */
  #isOwnCopy(id: string): boolean {
    const { round, place } = placeOf(id);
    if (this.#answeredIn !== round) this.#answered.clear();
    this.#answeredIn = round;
    const isCopy = place <= this.#job.tasks * (this.#options.copies ?? 1);
    return isCopy && this.#answered.has((place - 1) % this.#job.tasks);
  }

  async #expectCoordinator(): Promise<void> {
    const { wait } = this.#options;
    if (performance.now() - this.#moved < 1000 * wait) return;
    const heard = (await this.#board.words()).get(COORDINATOR);
    const silent = typeof heard === "number" ? (await this.#board.now()) - heard : Number.POSITIVE_INFINITY;
    if (silent > 1000 * wait)
      throw new UserError(
        `nobody has handed out tasks for ${wait} s`,
        "start the same command without --worker: it goes on where the rounds end",
        1,
      );
    this.#moved = performance.now();
  }
}
