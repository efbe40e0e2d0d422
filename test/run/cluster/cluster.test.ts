/** Runs over a Redis server of the test's own, by several in one process whose work is a digest of all before it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { parseAddress } from "../../../src/run/cluster/address.ts";
import { Connection } from "../../../src/run/cluster/connection.ts";
import { awaitRun, beginRun } from "../../../src/run/cluster/settings.ts";
import { chainAlone as alone, Chain, ChainRuns, failed, never, SETTINGS } from "../../support/cluster-chain.ts";
import { noRedis, PASSWORD, TestRedis } from "../../support/redis.ts";

const redis = new TestRedis();
const runs = new ChainRuns(redis);
const { warned } = runs;
beforeAll(async () => {
  if (!noRedis) await redis.start();
});
afterAll(() => redis.remove());

describe.skipIf(noRedis !== undefined)(`over a Redis server${noRedis ? `: skipped, ${noRedis}` : ""}`, () => {
  test.each([1, 2, 4])("%d workers come to what one process comes to alone", async (count) => {
    const run = `even-${count}`;
    const jobs = Array.from({ length: count }, () => new Chain(6, 4));
    const main = new Chain(6, 4);
    const [counts, ...tasks] = await Promise.all([
      runs.coordinator(run, { job: main }),
      ...jobs.map((job, i) => runs.worker(run, `w${i}`, { job })),
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
    const running = runs.coordinator("deaths", { job: main, lag: 0.4, events });
    expect(await failed(runs.worker("deaths", "dies", { job: stuck, signal: dying.signal, lag: 0.4 }))).toBe("killed");
    const late = new Chain(8, 3);
    const [counts] = await Promise.all([running, runs.worker("deaths", "late", { job: late, lag: 0.4 })]);
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
    const running = runs.coordinator("lag", { job: main, lag: 0.3, events });
    const first = runs.worker("lag", "lags", { job: lags, lag: 0.3 });
    await Bun.sleep(300);
    const quick = new Chain(5, 2, () => Bun.sleep(250));
    const [counts] = await Promise.all([running, first, runs.worker("lag", "quick", { job: quick, lag: 0.3 })]);
    expect([main.state, lags.state, quick.state]).toEqual(Array(3).fill(await alone(5, 2)));
    expect(counts.answers).toBe(10);
    expect(counts.repeated).toBeGreaterThan(0);
    expect(events).toContain("dropped lags");
    expect(events.lastIndexOf("joined lags")).toBeGreaterThan(events.indexOf("dropped lags"));
  });

  test("with two copies of each task a worker that never answers holds nobody up", async () => {
    const ending = new AbortController();
    const silent = new Chain(5, 3, () => new Promise((_, reject) => ending.signal.addEventListener("abort", reject)));
    const [main, own] = [new Chain(5, 3), new Chain(5, 3)];
    const running = runs.coordinator("copies", { job: main, lag: 1000, copies: 2 });
    const stuck = failed(runs.worker("copies", "stuck", { job: silent, lag: 1000, copies: 2 }));
    await Bun.sleep(100);
    const [counts] = await Promise.all([running, runs.worker("copies", "w", { job: own, lag: 1000, copies: 2 })]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await alone(5, 3)));
    expect(counts).toMatchObject({ answers: 15, dropped: 0 });
    ending.abort();
    await stuck;
  });

  test("every message twice, by each delivery again and by two coordinators, changes nothing", async () => {
    const [one, two, own] = [new Chain(5, 3), new Chain(5, 3), new Chain(5, 3)];
    const board = await runs.board("twice");
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
      runs.coordinator("twice", { job: one }),
      runs.coordinator("twice", { job: two }),
      runs.worker("twice", "w", { job: own }),
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
    const forger = await runs.board("forged");
    const running = runs.coordinator("forged", { job: main, lag: 0.4, events });
    await Bun.sleep(150);
    const send = (...args: (string | number)[]) => forger.connection.send("XADD", ...args);
    await send("ingot:forged:answers", "*", "t", "1-0", "w", "mallory", "p", "AAAAAA==");
    await send("ingot:forged:answers", "*", "t", "1-0", "w", "mallory", "p", "AAAAAA==", "s", "A".repeat(22));
    await send("ingot:forged:tasks", "99-1", "s", "B".repeat(22));
    await send("ingot:forged:rounds", "1-0", "p", "AgRoZWhvBGhlaG8=", "s", "C".repeat(22));
    await forger.connection.send("HSET", "ingot:forged:words", "eve", "17 nonsense");
    const own = new Chain(4, 2, () => Bun.sleep(60));
    const [counts] = await Promise.all([running, runs.worker("forged", "w", { job: own, lag: 0.4, events: heard })]);
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
    const working = runs.worker("again", "w", { job: own });
    expect(await failed(runs.coordinator("again", { job: before, signal: stopping.signal }))).toBe("stopped");
    const after = new Chain(6, 2);
    const [counts] = await Promise.all([runs.coordinator("again", { job: after }), working]);
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
    await Promise.all([runs.coordinator("killed", { job: main }), runs.worker("killed", "w", { job: own }), killing]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await alone(12, 2)));
    expect(warned.some((text) => text.includes("is away; waiting for it"))).toBe(true);
    expect(warned.some((text) => text.startsWith("Redis is back"))).toBe(true);
    expect(warned.join()).not.toContain(PASSWORD);
  });

  test("answers that are too long for a message are kept beside it and removed again", async () => {
    const [main, own] = [new Chain(2, 2, undefined, 20_000), new Chain(2, 2, undefined, 20_000)];
    await Promise.all([runs.coordinator("long", { job: main }), runs.worker("long", "w", { job: own })]);
    expect(own.state).toBe(main.state);
    const client = redis.client();
    await client.connect();
    expect(await client.send("KEYS", ["ingot:long:blob:*"])).toHaveLength(2); // of the two rounds
    client.close();
  });

  test("other settings, another key, no run and a closed server are told, and no password", async () => {
    const board = await runs.board("told");
    const address = parseAddress(redis.url("told"));
    await beginRun(board, address, "secret", SETTINGS);
    const told = `redis://127.0.0.1:${redis.port}`;
    const errors = [
      await failed(beginRun(board, address, "secret", { ...SETTINGS, steps: 4 })),
      await failed(awaitRun(board, address, "other", SETTINGS, { wait: 1, signal: never })),
      await failed(
        awaitRun(await runs.board("none"), parseAddress(redis.url("none")), "secret", SETTINGS, {
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
