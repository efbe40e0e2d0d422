/**
 * The rounds that are over, as they stand on the board: read, applied in order, and written. Who begins, or finds that
 * rounds after its own were removed, takes the state of the newest checkpoint first.
 */
import { UserError } from "../../errors.ts";
import type { Adding, Board, Entry } from "./board.ts";
import { placeOf } from "./board.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { RoundJob } from "./contract.ts";
import { joined, parted, type Subject } from "./envelope.ts";
import type { ReaderEvents } from "./events.ts";

/** Rounds that are kept in case the server comes back without them. */
const KEPT = 64;

const subjectOf = (id: string): Subject => ({ kind: "round", round: placeOf(id).round, task: 0, from: "" });

export class LogReader {
  /** The last round that was applied. */
  round = 0;
  /** Whether rounds are missing, and the checkpoint that stands for them was refused. */
  stuck = false;
  readonly #board: Board;
  readonly #job: RoundJob;
  readonly #events: ReaderEvents;
  readonly #checkpoints: Checkpoints;
  /** The message that was refused last, which is told once. */
  #refused = "";
  #looked = false;
  readonly #kept = new Map<number, Uint8Array>();

  constructor(board: Board, job: RoundJob, events: ReaderEvents) {
    this.#board = board;
    this.#job = job;
    this.#events = events;
    this.#checkpoints = new Checkpoints(board, events);
  }

  /**
   * Applies all rounds that are on the board and were not applied yet, up to one that is refused. `known`: rounds up to
   * this are known to be over, so that a checkpoint is looked for where they are not there.
   */
  async catchUp(known = 0): Promise<void> {
    if (!this.#looked) await this.#leap();
    this.#looked = true;
    for (;;) {
      const entries = await this.#board.range("rounds", `${this.round + 1}`, "+", 64);
      let next: "applied" | "again" | "end" = "applied";
      for (const entry of entries) {
        next = await this.#apply(entry);
        if (next !== "applied") break;
      }
      if (next === "end") return;
      if (next === "again" || entries.length === 64) continue;
      if (this.round >= known && !this.stuck) return;
      if (!(await this.#leap())) return;
    }
  }

  /** Takes the state of the newest checkpoint, where that is further; whether it was. */
  async #leap(): Promise<boolean> {
    const found = await this.#checkpoints.read(this.round);
    this.stuck = found === "refused" && (await this.#isGap());
    if (found === undefined || found === "refused") return false;
    await this.#job.load(found.round, found.parts);
    const before = this.round;
    this.round = found.round;
    this.#kept.clear();
    this.#events.loaded(found.round, before, found.bytes);
    return true;
  }

  /** Whether the round after this one was on the board and is no more. */
  async #isGap(): Promise<boolean> {
    const [next] = await this.#board.range("rounds", `${this.round + 1}`, "+", 1);
    if (next) {
      const isOwn = !("fault" in (await this.#board.open(subjectOf(next.id), next.fields)));
      return isOwn && placeOf(next.id).round > this.round + 1;
    }
    return placeOf(await this.#board.lastId("rounds")).round > this.round;
  }

  async #apply({ id, fields }: Entry): Promise<"applied" | "again" | "end"> {
    const { round } = placeOf(id);
    const opened = await this.#board.open(subjectOf(id), fields);
    const answers = "fault" in opened ? undefined : parted(opened.payload);
    if ("fault" in opened || !answers || answers.length !== this.#job.tasks) {
      if ((await this.#board.range("rounds", id, id)).length === 0) return (await this.#leap()) ? "again" : "end";
      const fault = "fault" in opened ? opened.fault : "it does not hold its answers";
      if (this.#refused !== id) this.#events.refused(`round ${round}`, fault);
      this.#refused = id;
      return "end";
    }
    if (round !== this.round + 1) {
      if (await this.#leap()) return "again";
      if (this.stuck) return "end";
      throw new UserError(
        `the server has round ${round} after round ${this.round}: it has lost some`,
        "start all who take part again, with a server that has appendonly and appendfsync always",
        1,
      );
    }
    await this.#job.apply(round, answers);
    this.round = round;
    this.stuck = false;
    this.#kept.set(round, opened.payload);
    this.#kept.delete(round - KEPT);
    await this.#events.round(round, answers);
    return "applied";
  }

  /** Ends a round: writes its answers, or finds what another coordinator wrote, and applies what is there. */
  async commit(round: number, answers: readonly Uint8Array[]): Promise<void> {
    await this.#add(round, joined(answers));
    await this.catchUp(round);
    if (this.round < round) throw new Error(`round ${round} is not on the board`);
  }

  async #add(round: number, payload: Uint8Array): Promise<void> {
    const fields = await this.#board.fields(subjectOf(`${round}-0`), payload);
    const adding: Adding = {
      subjectOf,
      refuse: (id, fault) => this.#events.refused(`round ${placeOf(id).round}`, fault),
      isOver: async () => (await this.saved()) >= round,
    };
    const entry = await this.#board.addOnce("rounds", `${round}-0`, fields, adding);
    if (!entry && fields[0] === "b") await this.#board.drop({ b: fields[1]! });
  }

  /** Round of the newest checkpoint; 0 without one. */
  saved(): Promise<number> {
    return this.#checkpoints.newest();
  }

  /** Puts the state after the last round on the board, in the place of the rounds; `beat` is called now and then. */
  async save(beat: () => Promise<void>): Promise<{ readonly round: number; readonly bytes: number } | undefined> {
    const { round } = this;
    const bytes = await this.#checkpoints.publish(round, await this.#job.save(), beat);
    return bytes === undefined ? undefined : { round, bytes };
  }

  /** Whether the newest checkpoint can be read, or none is needed. */
  async isWhole(): Promise<boolean> {
    const found = await this.#checkpoints.read(0);
    if (found !== undefined) return found !== "refused";
    const [first] = await this.#board.range("rounds", "-", "+", 1);
    return this.round === 0 || (first !== undefined && placeOf(first.id).round === 1);
  }

  /** Puts rounds back that the server has lost. Throws UserError where it lost more than are kept. */
  async restore(): Promise<void> {
    const entries = await this.#board.range("rounds", "-", "+", 1_000_000);
    const last = Math.max(await this.saved(), ...entries.map(({ id }) => placeOf(id).round));
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
