/** A job whose work is a digest of all before it, and those who do it over a Redis server, in one process. */
import { createHash } from "node:crypto";
import { parseAddress } from "../../src/run/cluster/address.ts";
import { Board } from "../../src/run/cluster/board.ts";
import { Connection } from "../../src/run/cluster/connection.ts";
import { doAlone, type RoundJob } from "../../src/run/cluster/contract.ts";
import { Coordinator } from "../../src/run/cluster/coordinator.ts";
import { awaitRun, beginRun } from "../../src/run/cluster/settings.ts";
import { Worker } from "../../src/run/cluster/worker.ts";
import type { TestRedis } from "./redis.ts";

const hash = (text: string): Uint8Array => createHash("sha256").update(text).digest();

/** Answers that depend on every answer before, so that a round that is lost, repeated or out of order shows. */
export class Chain implements RoundJob {
  state = "start";
  /** Bytes of a saved state beside the digest, which follow from it. */
  weight = 0;
  constructor(
    readonly rounds: number,
    readonly tasks: number,
    readonly pause = async (_round: number, _task: number): Promise<void> => {},
    readonly length = 4,
  ) {}
  async work(round: number, task: number): Promise<Uint8Array> {
    await this.pause(round, task);
    const answer = new Uint8Array(this.length);
    answer.set(hash(`${this.state} ${round} ${task}`).subarray(0, 4));
    return answer;
  }
  refusal(_task: number, answer: Uint8Array): string | undefined {
    return answer.length === this.length ? undefined : `it has ${answer.length} bytes`;
  }
  async apply(round: number, answers: readonly Uint8Array[]): Promise<void> {
    this.state = Buffer.from(hash(`${this.state} ${round} ${Buffer.concat(answers).toString("hex")}`)).toString("hex");
  }
  async digest(): Promise<string> {
    return this.state;
  }
  get stateBytes(): number {
    return this.state.length + this.weight;
  }
  #body(): Uint8Array {
    return Buffer.alloc(this.weight, `${this.state} `); // no two pieces are alike
  }
  async save(): Promise<readonly Uint8Array[]> {
    return [Buffer.from(this.state), new Uint8Array(), this.#body()];
  }
  async load(round: number, [state, none, body]: readonly Uint8Array[]): Promise<void> {
    this.state = Buffer.from(state!).toString();
    if (none?.length !== 0 || !Buffer.from(body!).equals(this.#body())) throw new Error(`round ${round} is damaged`);
  }
}

/** What a chain comes to without a cluster. */
export async function chainAlone(rounds: number, tasks: number, length = 4): Promise<string> {
  const job = new Chain(rounds, tasks, undefined, length);
  await doAlone(job, never, async () => {});
  return job.state;
}

export const SETTINGS = { steps: 3, weights: "start" };
export const never = new AbortController().signal;

export interface Part {
  readonly job: RoundJob;
  readonly signal?: AbortSignal;
  readonly lag?: number;
  readonly wait?: number;
  readonly events?: string[];
  readonly copies?: number;
  readonly checkpoint?: number;
  /** Changes the connection before anything is sent. */
  readonly via?: (connection: Connection) => void;
}

export const failed = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => "no error",
    (error: Error) => error.message,
  );

/** Who takes part in runs of a server. */
export class ChainRuns {
  /** What connections warned of. */
  readonly warned: string[] = [];
  readonly #redis: TestRedis;

  constructor(redis: TestRedis) {
    this.#redis = redis;
  }

  async board(run: string): Promise<Board> {
    const options = { wait: 20, signal: never, warn: (text: string) => void this.warned.push(text) };
    return new Board(await Connection.open(parseAddress(this.#redis.url(run)), options), run);
  }

  /** A board that knows the run's key. */
  async sealed(run: string): Promise<Board> {
    const board = await this.board(run);
    await beginRun(board, parseAddress(this.#redis.url(run)), "secret", SETTINGS);
    return board;
  }

  async coordinator(run: string, { job, signal = never, lag = 1, events = [], copies = 1, checkpoint, via }: Part) {
    const board = await this.sealed(run);
    via?.(board.connection);
    const one = new Coordinator(board, job, {
      ...{ lag, signal, copies, checkpoint },
      events: {
        refused: (what, fault) => void events.push(`refused ${what}: ${fault}`),
        joined: (name) => void events.push(`joined ${name}`),
        dropped: (name) => void events.push(`dropped ${name}`),
        round: async (round) => void events.push(`round ${round}`),
        saved: (round) => void events.push(`saved ${round}`),
        loaded: (round, before) => void events.push(`loaded ${round} after ${before}`),
      },
    });
    await one.run().finally(() => board.connection.close());
    return one.counts;
  }

  async worker(run: string, name: string, { job, signal = never, lag = 1, wait = 20, events = [], copies = 1 }: Part) {
    const board = await this.board(run);
    await awaitRun(board, parseAddress(this.#redis.url(run)), "secret", SETTINGS, { wait: 5, signal: never });
    const one = new Worker(board, job, {
      ...{ name, lag, copies, wait, signal },
      events: {
        refused: (what, fault) => void events.push(`refused ${what}: ${fault}`),
        round: async (round) => void events.push(`round ${round}`),
        loaded: (round, before) => void events.push(`loaded ${round} after ${before}`),
      },
    });
    await one.run().finally(() => board.connection.close());
    return one.tasks;
  }
}
