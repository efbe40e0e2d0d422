/**
 * Who hands tasks out and says when a round is over. It knows nothing that is not on the server: one that is started
 * again goes on where the rounds on the board end, and two at once do no harm.
 */
import { type Board, type Entry, placeOf } from "./board.ts";
import type { RoundJob } from "./contract.ts";
import type { Subject } from "./envelope.ts";
import type { ClusterCounts, ClusterEvents } from "./events.ts";
import { LogReader } from "./round-log.ts";

export interface CoordinatorOptions {
  /** Seconds of silence after which a worker is dropped, and of standstill after which tasks are handed out again. */
  readonly lag: number;
  /** To how many workers each task is given; 1 when left out. */
  readonly copies?: number;
  readonly signal: AbortSignal;
  readonly events: ClusterEvents;
}

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

  constructor(board: Board, job: RoundJob, options: CoordinatorOptions) {
    this.#board = board;
    this.#job = job;
    this.#options = options;
    this.#log = new LogReader(board, job, {
      refused: (what, fault) => this.#refuse(what, fault),
      round: (round, answers) => options.events.round(round, answers),
    });
  }

  #refuse(what: string, fault: string): void {
    this.counts.refused++;
    this.#options.events.refused(what, fault);
  }

  /** Runs to the last round. */
  async run(): Promise<void> {
    await this.#board.groups();
    await this.#log.catchUp();
    while (this.#log.round < this.#job.rounds) await this.#round(this.#log.round + 1);
    await this.#board.word(COORDINATOR);
  }

  async #round(round: number): Promise<void> {
    const { signal, lag } = this.#options;
    const answers: (Uint8Array | undefined)[] = Array(this.#job.tasks).fill(undefined);
    const seen: Entry[] = [];
    this.#turn = 0;
    for (let copy = 0; copy < (this.#options.copies ?? 1); copy++) await this.#handOut(round, answers);
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
      if (entries.length === 0) await this.#log.catchUp();
      if (this.#log.round >= round) return; // another coordinator was before this one
      await this.#look();
      if (this.#returns !== this.#board.connection.returns) {
        this.#returns = this.#board.connection.returns;
        await this.#board.groups();
        await this.#log.restore();
      }
      if (performance.now() - moved > 2000 * lag) {
        await this.#handOut(round, answers);
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

  /** Puts the tasks that have no answer on the board. */
  async #handOut(round: number, answers: readonly (Uint8Array | undefined)[]): Promise<void> {
    const { tasks } = this.#job;
    for (const [task, answer] of answers.entries()) {
      if (answer) continue;
      const place = this.#turn * tasks + task + 1;
      const subjectOf = (id: string): Subject => taskSubject(id, tasks);
      const fields = await this.#board.fields(subjectOf(`${round}-${place}`), new Uint8Array());
      const refuse = (id: string, fault: string) => this.#refuse(`task ${id}`, fault);
      await this.#board.addOnce("tasks", `${round}-${place}`, fields, subjectOf, refuse);
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
