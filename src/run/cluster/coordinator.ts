/**
 * Who hands tasks out and says when a round is over. It knows nothing that is not on the server: one that is started
 * again goes on where the rounds on the board end, and two at once do no harm.
 */
import { UserError } from "../../errors.ts";
import { type Adding, type Board, type Entry, placeOf } from "./board.ts";
import type { RoundJob } from "./contract.ts";
import type { Subject } from "./envelope.ts";
import type { ClusterCounts, ClusterEvents } from "./events.ts";
import { LogReader } from "./round-log.ts";

export interface CoordinatorOptions {
  /** Seconds of silence after which a worker is dropped, and of standstill after which tasks are handed out again. */
  readonly lag: number;
  /** To how many workers each task is given; 1 when left out. */
  readonly copies?: number;
  /** Rounds after which the state is put on the board; 0 for never. By the state's size when left out. */
  readonly checkpoint?: number | undefined;
  readonly signal: AbortSignal;
  readonly events: ClusterEvents;
}

/** Rounds from one checkpoint to the next where nobody chose: so that a round costs a MiB of them at most. */
export const roundsFor = (stateBytes: number): number => Math.max(64, Math.ceil(stateBytes / 2 ** 20));

/** Who it is on the board. */
export const COORDINATOR = "coordinator";

export class Coordinator {
  readonly counts: ClusterCounts = { answers: 0, repeated: 0, refused: 0, dropped: 0, payload: 0 };
  readonly #board: Board;
  readonly #job: RoundJob;
  readonly #options: CoordinatorOptions;
  readonly #log: LogReader;
  readonly #workers = new Set<string>();
  #looked = 0;
  #returns = 0;
  /** How often tasks of this round were handed out. */
  #turn = 0;
  /** Round of the newest checkpoint on the board; undefined where that is to be looked up. */
  #saved: number | undefined;

  constructor(board: Board, job: RoundJob, options: CoordinatorOptions) {
    this.#board = board;
    this.#job = job;
    this.#options = options;
    this.#log = new LogReader(board, job, {
      refused: (what, fault) => this.#refuse(what, fault),
      round: (round, answers) => options.events.round(round, answers),
      loaded: (...what) => options.events.loaded(...what),
    });
  }

  #refuse(what: string, fault: string): void {
    this.counts.refused++;
    this.#options.events.refused(what, fault);
  }

  /** Runs to the last round. */
  async run(): Promise<void> {
    await this.#board.groups();
    await this.#catchUp();
    while (this.#log.round < this.#job.rounds) await this.#round(this.#log.round + 1);
    await this.#board.word(COORDINATOR);
  }

  /** Throws UserError where the way to the last round is gone. */
  async #catchUp(known?: number): Promise<void> {
    await this.#log.catchUp(known);
    if (!this.#log.stuck) return;
    throw new UserError(
      `rounds after round ${this.#log.round} were removed, and the checkpoint in their place is refused`,
      "start Redis with data of before, or begin again under another name",
      1,
    );
  }

  /** Puts the state on the board where it is due; workers have tasks meanwhile. */
  async #saveIfDue(isDamaged = false): Promise<void> {
    const { checkpoint = roundsFor(this.#job.stateBytes), events } = this.#options;
    this.#saved ??= await this.#log.saved();
    const isDue = checkpoint > 0 && this.#log.round - this.#saved >= checkpoint;
    if (this.#log.round === 0 || !(isDue || isDamaged)) return;
    const { returns } = this.#board.connection;
    const done = await this.#log.save(() => this.#look());
    this.#saved = done && returns === this.#board.connection.returns ? done.round : undefined;
    if (done) events.saved(done.round, done.bytes);
  }

  async #round(round: number): Promise<void> {
    const { signal, lag } = this.#options;
    const answers: (Uint8Array | undefined)[] = Array(this.#job.tasks).fill(undefined);
    const seen: Entry[] = [];
    this.#turn = 0;
    for (let copy = 0; copy < (this.#options.copies ?? 1); copy++) await this.#handOut(round, answers);
    if (this.#log.round >= round) return;
    await this.#saveIfDue();
    let moved = performance.now();
    let after = "0";
    while (answers.includes(undefined)) {
      signal.throwIfAborted();
      const block = Math.min(500, 250 * lag);
      const entries = await this.#board.answers(after, block);
      for (const entry of entries) {
        if (await this.#take(round, entry, answers)) moved = performance.now();
        seen.push(entry);
        after = entry.id;
      }
      if (entries.length === 0) await this.#catchUp();
      if (this.#log.round >= round) return; // another coordinator was before this one
      await this.#look();
      if (this.#returns !== this.#board.connection.returns) {
        this.#returns = this.#board.connection.returns;
        await this.#board.groups();
        await this.#log.restore();
        this.#saved = undefined;
      }
      if (performance.now() - moved > 2000 * lag) {
        await this.#handOut(round, answers);
        if (!(await this.#log.isWhole())) await this.#saveIfDue(true);
        moved = performance.now();
      }
    }
    const whole = answers.filter((answer) => answer !== undefined);
    await this.#log.commit(round, whole);
    for (const { id, fields } of seen) {
      await this.#board.removeAnswer(id);
      await this.#board.drop(fields);
    }
    await this.#board.connection.send("XTRIM", this.#board.key("tasks"), "MINID", `${round + 1}`);
  }

  /** Puts the tasks that have no answer on the board, and catches up where another coordinator is further. */
  async #handOut(round: number, answers: readonly (Uint8Array | undefined)[]): Promise<void> {
    const { tasks } = this.#job;
    for (const [task, answer] of answers.entries()) {
      if (answer) continue;
      const place = this.#turn * tasks + task + 1;
      const adding: Adding = {
        subjectOf: (id) => taskSubject(id, tasks),
        refuse: (id, fault) => this.#refuse(`task ${id}`, fault),
      };
      const fields = await this.#board.fields(adding.subjectOf(`${round}-${place}`), new Uint8Array());
      if (!(await this.#board.addOnce("tasks", `${round}-${place}`, fields, adding))) await this.#catchUp(round);
    }
    this.#turn++;
  }

  /** Takes an answer in; whether it counts. */
  async #take(round: number, { fields }: Entry, answers: (Uint8Array | undefined)[]): Promise<boolean> {
    const { t = "", w = "" } = fields;
    const { round: of, place: task } = placeOf(t);
    const what = `an answer of ${w === "" ? "nobody" : JSON.stringify(w.slice(0, 80))} to task ${t.slice(0, 40)}`;
    const opened = await this.#board.open({ kind: "answer", round: of, task, from: w }, fields);
    if ("fault" in opened) {
      this.#refuse(what, opened.fault);
      return false;
    }
    if (of !== round || answers[task] !== undefined || task >= answers.length) {
      this.counts.repeated++;
      return false;
    }
    const fault = this.#job.refusal(task, opened.payload);
    if (fault !== undefined) {
      this.#refuse(what, fault);
      return false;
    }
    answers[task] = opened.payload;
    this.counts.answers++;
    this.counts.payload += opened.payload.length;
    return true;
  }

  /** Looks who is there, now and then, and drops who has not been heard for too long. */
  async #look(): Promise<void> {
    const { lag, events } = this.#options;
    if (performance.now() - this.#looked < 250 * lag) return;
    this.#looked = performance.now();
    await this.#board.word(COORDINATOR);
    const now = await this.#board.now();
    for (const [name, heard] of await this.#board.words()) {
      if (name === COORDINATOR) continue;
      if (typeof heard !== "number") {
        this.#refuse(`a word of ${JSON.stringify(name.slice(0, 80))}`, heard.fault);
        await this.#board.forget(name);
      } else if (now - heard > 1000 * lag) {
        await this.#board.forget(name);
        this.#workers.delete(name);
        this.counts.dropped++;
        events.dropped(name, (now - heard) / 1000);
      } else if (!this.#workers.has(name)) {
        this.#workers.add(name);
        events.joined(name);
      }
    }
  }
}

/** What a task's signature is over. */
export function taskSubject(id: string, tasks: number): Subject {
  const { round, place } = placeOf(id);
  return { kind: "task", round, task: (place - 1) % tasks, from: "" };
}
