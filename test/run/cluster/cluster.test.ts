/** Runs over a Redis server of the test's own, by several in one process whose work is a digest of all before it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { parseAddress } from "../../../src/run/cluster/address.ts";
import { Board } from "../../../src/run/cluster/board.ts";
import { Connection } from "../../../src/run/cluster/connection.ts";
import { doAlone, type RoundJob } from "../../../src/run/cluster/contract.ts";
import { Coordinator } from "../../../src/run/cluster/coordinator.ts";
import { awaitRun, beginRun } from "../../../src/run/cluster/settings.ts";
import { Worker } from "../../../src/run/cluster/worker.ts";
import { noRedis, PASSWORD, TestRedis } from "../../support/redis.ts";

const redis = new TestRedis();
const warned: string[] = [];
beforeAll(async () => {
  if (!noRedis) await redis.start();
});
afterAll(() => redis.remove());

const hash = (text: string): Uint8Array => createHash("sha256").update(text).digest();

/** Answers that depend on every answer before, so that a round that is lost, repeated or out of order shows. */
class Chain implements RoundJob {
  state = "start";
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
}

const SETTINGS = { steps: 3, weights: "start" };
const never = new AbortController().signal;

interface Part {
  readonly job: RoundJob;
  readonly signal?: AbortSignal;
  readonly lag?: number;
  readonly events?: string[];
  readonly copies?: number;
}

async function boardOf(run: string): Promise<Board> {
  const address = parseAddress(redis.url(run));
  const options = { wait: 20, signal: never, warn: (text: string) => void warned.push(text) };
  return new Board(await Connection.open(address, options), run);
}

async function coordinator(run: string, { job, signal = never, lag = 1, events = [], copies = 1 }: Part) {
  const board = await boardOf(run);
  await beginRun(board, parseAddress(redis.url(run)), "secret", SETTINGS);
  const one = new Coordinator(board, job, {
    ...{ lag, signal, copies },
    events: {
      refused: (what, fault) => void events.push(`refused ${what}: ${fault}`),
      joined: (name) => void events.push(`joined ${name}`),
      dropped: (name) => void events.push(`dropped ${name}`),
      round: async (round) => void events.push(`round ${round}`),
    },
  });
  await one.run().finally(() => board.connection.close());
  return one.counts;
}

async function worker(run: string, name: string, { job, signal = never, lag = 1, events = [], copies = 1 }: Part) {
  const board = await boardOf(run);
  await awaitRun(board, parseAddress(redis.url(run)), "secret", SETTINGS, { wait: 5, signal: never });
  const refused = (what: string, fault: string) => void events.push(`refused ${what}: ${fault}`);
  const one = new Worker(board, job, {
    ...{ name, lag, copies, wait: 20, signal },
    events: { refused, round: async () => {} },
  });
  await one.run().finally(() => board.connection.close());
  return one.tasks;
}

async function alone(rounds: number, tasks: number): Promise<string> {
  const job = new Chain(rounds, tasks);
  await doAlone(job, never, async () => {});
  return job.state;
}

const failed = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => "no error",
    (error: Error) => error.message,
  );

describe.skipIf(noRedis !== undefined)(`over a Redis server${noRedis ? `: skipped, ${noRedis}` : ""}`, () => {
  test.each([1, 2, 4])("%d workers come to what one process comes to alone", async (count) => {
    const run = `even-${count}`;
    const jobs = Array.from({ length: count }, () => new Chain(6, 4));
    const main = new Chain(6, 4);
    const [counts, ...tasks] = await Promise.all([
      coordinator(run, { job: main }),
      ...jobs.map((job, i) => worker(run, `w${i}`, { job })),
    ]);
    expect(new Set([main, ...jobs].map(({ state }) => state))).toEqual(new Set([await alone(6, 4)]));
    expect(counts).toMatchObject({ answers: 24, refused: 0, dropped: 0, payload: 96 });
    expect(tasks.reduce((a, b) => a + b, 0)).toBe(24 + counts.repeated);
  });

  test("a worker that dies at its task is dropped by rule, another takes the task, and who comes late catches up", async () => {
    const dying = new AbortController();
    const stuck = new Chain(8, 3, async (round) => {
      if (round < 3) return;
      dying.abort();
      await Promise.reject(new Error("killed"));
    });
    const events: string[] = [];
    const main = new Chain(8, 3);
    const running = coordinator("deaths", { job: main, lag: 0.4, events });
    expect(await failed(worker("deaths", "dies", { job: stuck, signal: dying.signal, lag: 0.4 }))).toBe("killed");
    const late = new Chain(8, 3);
    const [counts] = await Promise.all([running, worker("deaths", "late", { job: late, lag: 0.4 })]);
    expect([main.state, late.state]).toEqual(Array(2).fill(await alone(8, 3)));
    expect(counts).toMatchObject({ answers: 24, dropped: 1 });
    expect(events).toContain("dropped dies");
    expect(events.filter((event) => event.startsWith("joined"))).toEqual(["joined dies", "joined late"]);
  });

  test("a worker that lags loses its task, and its late answer changes nothing when it returns", async () => {
    let slow = true;
    const lags = new Chain(5, 2, async () => {
      if (slow) await Bun.sleep(1500);
      slow = false;
    });
    const events: string[] = [];
    const main = new Chain(5, 2);
    const running = coordinator("lag", { job: main, lag: 0.3, events });
    const first = worker("lag", "lags", { job: lags, lag: 0.3 });
    await Bun.sleep(300);
    const quick = new Chain(5, 2, () => Bun.sleep(250));
    const [counts] = await Promise.all([running, first, worker("lag", "quick", { job: quick, lag: 0.3 })]);
    expect([main.state, lags.state, quick.state]).toEqual(Array(3).fill(await alone(5, 2)));
    expect(counts.answers).toBe(10);
    expect(counts.repeated).toBeGreaterThan(0);
    expect(events).toContain("dropped lags");
    expect(events.lastIndexOf("joined lags")).toBeGreaterThan(events.indexOf("dropped lags"));
  });

  test("with two copies of each task a worker that never answers holds nobody up", async () => {
    const ending = new AbortController();
    const never = new Chain(5, 3, () => new Promise((_, reject) => ending.signal.addEventListener("abort", reject)));
    const [main, own] = [new Chain(5, 3), new Chain(5, 3)];
    const running = coordinator("copies", { job: main, lag: 1000, copies: 2 });
    const stuck = failed(worker("copies", "stuck", { job: never, lag: 1000, copies: 2 }));
    await Bun.sleep(100);
    const [counts] = await Promise.all([running, worker("copies", "w", { job: own, lag: 1000, copies: 2 })]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await alone(5, 3)));
    expect(counts).toMatchObject({ answers: 15, dropped: 0 });
    ending.abort();
    await stuck;
  });

  test("every message twice, by each delivery again and by two coordinators, changes nothing", async () => {
    const [one, two, own] = [new Chain(5, 3), new Chain(5, 3), new Chain(5, 3)];
    const board = await boardOf("twice");
    const copying = (async () => {
      let last = "-";
      while (one.state !== (await alone(5, 3))) {
        const reply = await board.connection.send("XRANGE", "ingot:twice:answers", last, "+", "COUNT", 1);
        const [entry] = reply as [string, string[]][];
        if (entry) {
          last = `(${entry[0]}`;
          await board.connection.send("XADD", "ingot:twice:answers", "*", ...entry[1]);
        } else await Bun.sleep(1);
      }
    })();
    const counts = await Promise.all([
      coordinator("twice", { job: one }),
      coordinator("twice", { job: two }),
      worker("twice", "w", { job: own }),
      copying,
    ]);
    expect([one.state, two.state, own.state]).toEqual(Array(3).fill(await alone(5, 3)));
    expect(counts[0].repeated + counts[1].repeated).toBeGreaterThan(0);
    board.connection.close();
  });

  test("answers, tasks and rounds that are forged or changed are refused by name, and the run goes on", async () => {
    const events: string[] = [];
    const heard: string[] = [];
    const main = new Chain(4, 2);
    const forger = await boardOf("forged");
    const running = coordinator("forged", { job: main, lag: 0.4, events });
    await Bun.sleep(150);
    const send = (...args: (string | number)[]) => forger.connection.send("XADD", ...args);
    await send("ingot:forged:answers", "*", "t", "1-0", "w", "mallory", "p", "AAAAAA==");
    await send("ingot:forged:answers", "*", "t", "1-0", "w", "mallory", "p", "AAAAAA==", "s", "A".repeat(22));
    await send("ingot:forged:tasks", "99-1", "s", "B".repeat(22));
    await send("ingot:forged:rounds", "1-0", "p", "AgRoZWhvBGhlaG8=", "s", "C".repeat(22));
    await forger.connection.send("HSET", "ingot:forged:words", "eve", "17 nonsense");
    const own = new Chain(4, 2, () => Bun.sleep(60));
    const [counts] = await Promise.all([running, worker("forged", "w", { job: own, lag: 0.4, events: heard })]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await alone(4, 2)));
    const changed = "it was changed on the way, or is signed with another key";
    expect(events).toContain('refused an answer of "mallory" to task 1-0: it is not signed');
    expect(events).toContain(`refused an answer of "mallory" to task 1-0: ${changed}`);
    expect(events).toContain(`refused round 1: ${changed}`);
    expect(events).toContain(`refused a word of "eve": ${changed}`);
    expect([...events, ...heard].some((event) => event === `refused task 99-1: ${changed}`)).toBe(true);
    expect(counts.refused).toBeGreaterThanOrEqual(4);
    forger.connection.close();
  });

  test("a coordinator that is stopped and started again goes on where the rounds end", async () => {
    const stopping = new AbortController();
    const before = new Chain(6, 2);
    const own = new Chain(6, 2, async (round) => {
      if (round === 4) stopping.abort(new Error("stopped"));
    });
    const working = worker("again", "w", { job: own });
    expect(await failed(coordinator("again", { job: before, signal: stopping.signal }))).toBe("stopped");
    const after = new Chain(6, 2);
    const [counts] = await Promise.all([coordinator("again", { job: after }), working]);
    expect([after.state, own.state]).toEqual(Array(2).fill(await alone(6, 2)));
    expect(counts.answers).toBeLessThan(12);
  });

  test("Redis is killed and comes back with what it kept: the run goes on", async () => {
    const main = new Chain(12, 2);
    const own = new Chain(12, 2, () => Bun.sleep(20));
    const killing = (async () => {
      await Bun.sleep(200);
      await redis.kill();
      await Bun.sleep(150);
      await redis.start();
    })();
    warned.length = 0;
    await Promise.all([coordinator("killed", { job: main }), worker("killed", "w", { job: own }), killing]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await alone(12, 2)));
    expect(warned.some((text) => text.includes("is away; waiting for it"))).toBe(true);
    expect(warned.some((text) => text.startsWith("Redis is back"))).toBe(true);
    expect(warned.join()).not.toContain(PASSWORD);
  });

  test("answers that are too long for a message are kept beside it and removed again", async () => {
    const [main, own] = [new Chain(2, 2, undefined, 20_000), new Chain(2, 2, undefined, 20_000)];
    await Promise.all([coordinator("long", { job: main }), worker("long", "w", { job: own })]);
    expect(own.state).toBe(main.state);
    const client = redis.client();
    await client.connect();
    expect(await client.send("KEYS", ["ingot:long:blob:*"])).toHaveLength(2); // of the two rounds
    client.close();
  });

  test("other settings, another key, no run and a closed server are told, and no password", async () => {
    const board = await boardOf("told");
    const address = parseAddress(redis.url("told"));
    await beginRun(board, address, "secret", SETTINGS);
    const told = `redis://127.0.0.1:${redis.port}`;
    const errors = [
      await failed(beginRun(board, address, "secret", { ...SETTINGS, steps: 4 })),
      await failed(awaitRun(board, address, "other", SETTINGS, { wait: 1, signal: never })),
      await failed(
        awaitRun(await boardOf("none"), parseAddress(redis.url("none")), "secret", SETTINGS, {
          wait: 0,
          signal: never,
        }),
      ),
      await failed(
        Connection.open(parseAddress(redis.url("told", "wrong-word")), { wait: 1, signal: never, warn() {} }),
      ),
      await failed(
        Connection.open(parseAddress("redis://:pass-word@127.0.0.1:1/x"), { wait: 1, signal: never, warn() {} }),
      ),
    ];
    expect(errors).toEqual([
      `the run at ${told}/told has steps 3, and this one 4`,
      `the settings at ${told}/told are refused: it was changed on the way, or is signed with another key`,
      `there is no run at ${told}/none after 0 s`,
      `the server at ${told}/told does not let this run in`,
      "no Redis server answers at redis://127.0.0.1:1/x",
    ]);
    board.connection.close();
  });
});
