/** The rounds that are over, as they stand on the board: read, applied in order, and written. */
import { UserError } from "../../errors.ts";
import type { Board, Entry } from "./board.ts";
import { placeOf } from "./board.ts";
import type { RoundJob } from "./contract.ts";
import { joined, parted, type Subject } from "./envelope.ts";
import type { ClusterEvents } from "./events.ts";

/** Rounds that are kept in case the server comes back without them. */
const KEPT = 64;

const subjectOf = (id: string): Subject => ({ kind: "round", round: placeOf(id).round, task: 0, from: "" });

export class LogReader {
  /** The last round that was applied. */
  round = 0;
  readonly #board: Board;
  readonly #job: RoundJob;
  readonly #events: Pick<ClusterEvents, "refused" | "round">;
  /** The message that was refused last, which is told once. */
  #refused = "";
  readonly #kept = new Map<number, Uint8Array>();

  constructor(board: Board, job: RoundJob, events: Pick<ClusterEvents, "refused" | "round">) {
    this.#board = board;
    this.#job = job;
    this.#events = events;
  }

  /** Applies all rounds that are on the board and were not applied yet, up to one that is refused. */
  async catchUp(): Promise<void> {
    for (;;) {
      const entries = await this.#board.range("rounds", `${this.round + 1}`, "+", 64);
      for (const entry of entries) if (!(await this.#apply(entry))) return;
      if (entries.length < 64) return;
    }
  }

  async #apply({ id, fields }: Entry): Promise<boolean> {
    const { round } = placeOf(id);
    const opened = await this.#board.open(subjectOf(id), fields);
    const answers = "fault" in opened ? undefined : parted(opened.payload);
    if ("fault" in opened || !answers || answers.length !== this.#job.tasks) {
      const fault = "fault" in opened ? opened.fault : "it does not hold its answers";
      if (this.#refused !== id) this.#events.refused(`round ${round}`, fault);
      this.#refused = id;
      return false;
    }
    if (round !== this.round + 1)
      throw new UserError(
        `the server has round ${round} after round ${this.round}: it has lost some`,
        "start all who take part again, with a server that has appendonly and appendfsync always",
        1,
      );
    await this.#job.apply(round, answers);
    this.round = round;
    this.#kept.set(round, opened.payload);
    this.#kept.delete(round - KEPT);
    await this.#events.round(round, answers);
    return true;
  }

  /** Ends a round: writes its answers, or finds what another coordinator wrote, and applies what is there. */
  async commit(round: number, answers: readonly Uint8Array[]): Promise<void> {
    await this.#add(round, joined(answers));
    await this.catchUp();
    if (this.round < round) throw new Error(`round ${round} is not on the board`);
  }

  async #add(round: number, payload: Uint8Array): Promise<void> {
    const fields = await this.#board.fields(subjectOf(`${round}-0`), payload);
    const refuse = (id: string, fault: string) => this.#events.refused(`round ${placeOf(id).round}`, fault);
    await this.#board.addOnce("rounds", `${round}-0`, fields, subjectOf, refuse);
  }

  /** Puts rounds back that the server has lost. Throws UserError where it lost more than are kept. */
  async restore(): Promise<void> {
    const entries = await this.#board.range("rounds", "-", "+", 1_000_000);
    const last = Math.max(0, ...entries.map(({ id }) => placeOf(id).round));
    for (let round = last + 1; round <= this.round; round++) {
      const payload = this.#kept.get(round);
      if (!payload)
        throw new UserError(
          `the server has lost ${this.round - last} rounds`,
          "start it with appendonly, and this run under another name",
          1,
        );
      await this.#add(round, payload);
    }
  }
}
