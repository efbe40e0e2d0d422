/** Checkpoints of runs over a Redis server of the test's own: bits, crashes at every moment, changes, and room. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Connection } from "../../../src/run/cluster/connection.ts";
import { LogReader } from "../../../src/run/cluster/round-log.ts";
import { Chain, ChainRuns, chainAlone, failed } from "../../support/cluster-chain.ts";
import { noRedis, TestRedis } from "../../support/redis.ts";

setDefaultTimeout(120_000); // the machine may be busy

const redis = new TestRedis();
const runs = new ChainRuns(redis);
beforeAll(async () => {
  if (!noRedis) await redis.start();
});
afterAll(() => redis.remove());

const CHANGED = "it was changed on the way, or is signed with another key";

async function ask(command: string, ...args: (string | number)[]): Promise<unknown> {
  const client = redis.client();
  await client.connect();
  const answer: unknown = await client.send(command, args.map(String));
  client.close();
  return answer;
}

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);
const keysOf = async (run: string, more = "*"): Promise<string[]> => texts(await ask("KEYS", `ingot:${run}:${more}`));
/** Rounds of the entries of a stream. */
const roundsIn = async (run: string, stream: string): Promise<number[]> => {
  const entries = await ask("XRANGE", `ingot:${run}:${stream}`, "-", "+");
  return Array.isArray(entries) ? entries.map((entry) => Number(String(entry).split("-")[0])) : [];
};

/** A chain whose saved state is three pieces. */
function heavy(...given: ConstructorParameters<typeof Chain>): Chain {
  const chain = new Chain(...given);
  chain.weight = 2 ** 21 + 5;
  return chain;
}

/** Ends a connection, as a crash of its process would, when it is about to send what `isDue` tells. */
function dying(isDue: (command: string, args: readonly (string | number)[]) => boolean, isAfter = false) {
  return (connection: Connection): void => {
    const [send, put] = [connection.send.bind(connection), connection.put.bind(connection)];
    const through = async <T>(is: boolean, act: () => Promise<T>): Promise<T> => {
      if (is && !isAfter) throw new Error("killed");
      const answer = await act();
      if (is) throw new Error("killed");
      return answer;
    };
    connection.send = (command, ...args) => through(isDue(command, args), () => send(command, ...args));
    connection.put = (key, bytes) => through(isDue("SET", [key]), () => put(key, bytes));
  };
}

/** Whether this is what removes rounds. */
const isTrim = (command: string, args: readonly (string | number)[]): boolean =>
  command === "EVAL" && [":rounds", ":chunks"].every((end) => args.some((key) => `${key}`.endsWith(end)));

const nth = (count: number) => {
  let seen = 0;
  return (is: boolean): boolean => is && ++seen === count;
};
const second = nth(2);
const WINDOWS = [
  { when: "between two pieces", via: dying((command, [key]) => second(command === "SET" && /:chunk:/.test(`${key}`))) },
  { when: "before the list", via: dying((command, [key]) => command === "XADD" && `${key}`.endsWith(":checkpoints")) },
  { when: "between the list and the trim", via: dying((command, args) => isTrim(command, args)) },
  { when: "after the trim", via: dying((command, args) => isTrim(command, args), true) },
];

describe.skipIf(noRedis !== undefined)(`checkpoints${noRedis ? `: skipped, ${noRedis}` : ""}`, () => {
  test.each([1, 2])("%d workers come to the same with checkpoints, and one whole one is left", async (count) => {
    const run = `same-${count}`;
    const jobs = Array.from({ length: count }, () => heavy(10, 3));
    const main = heavy(10, 3);
    const events: string[] = [];
    await Promise.all([
      runs.coordinator(run, { job: main, checkpoint: 3, events }),
      ...jobs.map((job, i) => runs.worker(run, `w${i}`, { job })),
    ]);
    expect(new Set([main, ...jobs].map(({ state }) => state))).toEqual(new Set([await chainAlone(10, 3)]));
    expect(events.filter((event) => event.startsWith("saved"))).toEqual(["saved 3", "saved 6", "saved 9"]);
    expect([await roundsIn(run, "checkpoints"), await roundsIn(run, "rounds")]).toEqual([[9], [10]]);
    const chunks = await keysOf(run, "chunk:*");
    expect(chunks).toHaveLength(3);
    const listed = texts(await ask("SMEMBERS", `ingot:${run}:chunks`));
    expect(listed.map((name) => `ingot:${run}:chunk:${name}`).sort()).toEqual(chunks.sort());
  });

  test("who joins late takes the checkpoint and the rounds after it, and a run that is over can still be read", async () => {
    const events: string[] = [];
    const [main, late, after] = [heavy(12, 2), heavy(12, 2), heavy(12, 2)];
    const joining = Promise.withResolvers<void>();
    const first = heavy(12, 2, async (round) => {
      if (round === 8) joining.resolve();
      if (round >= 8) await Bun.sleep(50);
    });
    const running = runs.coordinator("late", { job: main, checkpoint: 3 });
    const working = runs.worker("late", "first", { job: first });
    await joining.promise;
    await Promise.all([running, working, runs.worker("late", "late", { job: late, events })]);
    await runs.worker("late", "after", { job: after });
    expect([main, first, late, after].map(({ state }) => state)).toEqual(Array(4).fill(await chainAlone(12, 2)));
    expect(events[0]).toMatch(/^loaded [69] after 0$/);
    expect(events).not.toContain("round 1");
    expect(events).toContain("round 12");
  });

  test("a worker that was away while its rounds were removed takes the checkpoint", async () => {
    const events: string[] = [];
    const back = Promise.withResolvers<void>();
    const away = new Chain(14, 2, async (round) => {
      if (round === 2) await back.promise;
    });
    const quick = new Chain(14, 2, async (round) => {
      if (round === 11) back.resolve();
      if (round >= 11) await Bun.sleep(60);
    });
    const main = new Chain(14, 2);
    await Promise.all([
      runs.coordinator("away", { job: main, lag: 0.3, checkpoint: 4 }),
      runs.worker("away", "away", { job: away, lag: 0.3, events }),
      runs.worker("away", "quick", { job: quick, lag: 0.3 }),
    ]);
    expect([main, away, quick].map(({ state }) => state)).toEqual(Array(3).fill(await chainAlone(14, 2)));
    expect(events.filter((event) => event.startsWith("loaded")).length).toBeGreaterThan(0);
  });

  test.each(WINDOWS)(
    "a coordinator that dies $when leaves a run that goes on, and nothing else",
    async ({ when, via }) => {
      const run = when.replaceAll(" ", "-");
      const [own, before, after] = [heavy(9, 2), heavy(9, 2), heavy(9, 2)];
      const events: string[] = [];
      const working = runs.worker(run, "w", { job: own, lag: 0.4 });
      expect(await failed(runs.coordinator(run, { job: before, checkpoint: 3, lag: 0.4, via }))).toBe("killed");
      // A later one is due at other rounds: nobody writes the pieces again that were left.
      const [, , late] = await Promise.all([
        runs.coordinator(run, { job: after, checkpoint: 4, lag: 0.4, events }),
        working,
        (async () => {
          const job = heavy(9, 2);
          await runs.worker(run, "late", { job, lag: 0.4 });
          return job;
        })(),
      ]);
      expect([own, after, late].map(({ state }) => state)).toEqual(Array(3).fill(await chainAlone(9, 2)));
      expect(events.some((event) => event === "loaded 3 after 0")).toBe(/trim/.test(when));
      const [left] = await roundsIn(run, "checkpoints");
      const chunks = await keysOf(run, "chunk:*");
      expect(chunks).toHaveLength(3);
      expect(chunks.every((key) => key.includes(`:chunk:${left}-`))).toBe(true);
      expect(await ask("SCARD", `ingot:${run}:chunks`)).toBe(3);
    },
  );

  test("two who hand tasks out and write checkpoints at other rounds do no harm, also where one is slow", async () => {
    const [one, two, own, other] = [heavy(16, 2), heavy(16, 2), heavy(16, 2), heavy(16, 2)];
    const slow = (connection: Connection): void => {
      const send = connection.send.bind(connection);
      let count = 0;
      connection.send = async (command, ...args) => {
        if (++count % 7 === 0) await Bun.sleep(40 * (1 + ((count * 7919) % 9)));
        return send(command, ...args);
      };
    };
    await Promise.all([
      runs.coordinator("two", { job: one, checkpoint: 2, lag: 0.5 }),
      runs.coordinator("two", { job: two, checkpoint: 3, lag: 0.5, via: slow }),
      runs.worker("two", "own", { job: own, lag: 0.5 }),
      runs.worker("two", "other", { job: other, lag: 0.5 }),
    ]);
    const states = [one, two, own, other].map(({ state }) => state);
    expect(states).toEqual(Array(4).fill(await chainAlone(16, 2)));
    expect(await roundsIn("two", "checkpoints")).toHaveLength(1);
  });

  test("what is on the server stays within bounds over many rounds", async () => {
    const counts: number[] = [];
    const bytes: number[] = [];
    const client = redis.client();
    await client.connect();
    const own = new Chain(
      40,
      2,
      async (round, task) => {
        if (task > 0 || round < 10) return;
        const keys = texts(await client.send("KEYS", ["ingot:bounded:*"]));
        counts.push(keys.length);
        const sizes = await Promise.all(keys.map((key) => client.send("MEMORY", ["USAGE", key, "SAMPLES", "0"])));
        bytes.push(sizes.reduce((sum: number, size) => sum + Number(size), 0));
      },
      9000,
    );
    const main = new Chain(40, 2, undefined, 9000);
    await Promise.all([
      runs.coordinator("bounded", { job: main, checkpoint: 5 }),
      runs.worker("bounded", "w", { job: own }),
    ]);
    client.close();
    expect(own.state).toBe(await chainAlone(40, 2, 9000));
    // Blobs of at most six rounds and of the answers of one, two pieces, and the keys of the run itself
    expect(counts.length).toBeGreaterThan(20);
    expect(Math.max(...counts)).toBeLessThanOrEqual(6 + 2 + 2 + 7);
    expect(Math.max(...bytes)).toBeLessThan(10 * 2 * 9000 + 60_000);
  });

  test("a piece or a list that was changed is refused by name, who needs it waits, and the run mends it", async () => {
    for (const what of ["chunk", "list"] as const) {
      const run = `changed-${what}`;
      const stopping = new AbortController();
      const before = heavy(12, 2, async (round) => {
        if (round === 6) stopping.abort(new Error("stopped"));
      });
      const main = heavy(12, 2);
      const running = runs.coordinator(run, { job: main, checkpoint: 5, lag: 0.4 });
      expect(await failed(runs.worker(run, "before", { job: before, signal: stopping.signal, lag: 0.4 }))).toBe(
        "stopped",
      );
      while ((await roundsIn(run, "checkpoints"))[0] !== 5) await Bun.sleep(10);
      await Bun.sleep(100);
      if (what === "chunk") for (const key of await keysOf(run, "chunk:5-*")) await ask("SET", key, "other");
      else {
        await ask("XDEL", `ingot:${run}:checkpoints`, "5-0");
        await ask("XADD", `ingot:${run}:checkpoints`, "5-1", "p", "AAAA", "s", "B".repeat(22));
      }
      const events: string[] = [];
      const told: string[] = [];
      // One who hands tasks out and comes now cannot know where the run is.
      const reading = failed(runs.coordinator(run, { job: heavy(12, 2), checkpoint: 5, lag: 0.4, events: told }));
      const late = heavy(12, 2);
      await Promise.all([running, runs.worker(run, "late", { job: late, lag: 0.4, events })]);
      expect(await reading).toBe("rounds after round 0 were removed, and the checkpoint in their place is refused");
      const named =
        what === "chunk"
          ? "refused chunk 1 of 3 of the checkpoint of round 5: it was changed on the way"
          : `refused the checkpoint of round 5: ${CHANGED}`;
      expect(told[0]).toBe(named);
      expect(events[0]).toBe(named);
      expect(events.find((event) => !event.startsWith("refused"))).toMatch(/^loaded \d+ after 0$/);
      expect([main.state, late.state]).toEqual(Array(2).fill(await chainAlone(12, 2)));
    }
  });

  test("a list that is forged beside rounds that are all there holds nobody up", async () => {
    const events: string[] = [];
    await ask("XADD", "ingot:forged:checkpoints", "99-0", "p", "AAAA", "s", "B".repeat(22));
    const [main, own] = [new Chain(5, 2), new Chain(5, 2)];
    await Promise.all([
      runs.coordinator("forged", { job: main, checkpoint: 2, events }),
      runs.worker("forged", "w", { job: own }),
    ]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await chainAlone(5, 2)));
    expect(events[0]).toBe(`refused the checkpoint of round 99: ${CHANGED}`);
    expect(await roundsIn("forged", "checkpoints")).toEqual([4]);
  });

  test("a checkpoint of which the server lost a piece removes nothing until that is there again", async () => {
    const lengths: number[] = [];
    let isFirst = true;
    const [main, own] = [heavy(7, 2), heavy(7, 2)];
    const via = (connection: Connection): void => {
      const send = connection.send.bind(connection);
      connection.send = async (command, ...args) => {
        if (isTrim(command, args) && isFirst) for (const key of await keysOf("lossy", "chunk:*")) await ask("DEL", key);
        isFirst = isFirst && !isTrim(command, args);
        const answer = await send(command, ...args);
        if (isTrim(command, args)) lengths.push((await roundsIn("lossy", "rounds")).length);
        return answer;
      };
    };
    await Promise.all([
      runs.coordinator("lossy", { job: main, checkpoint: 4, via }),
      runs.worker("lossy", "w", { job: own }),
    ]);
    expect(lengths).toEqual([4, 0]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await chainAlone(7, 2)));
  });

  test("a round that was removed is not written again by one who is late, also where another id is forged", async () => {
    const [main, own, late] = [new Chain(6, 2), new Chain(6, 2), new Chain(6, 2)];
    await Promise.all([
      runs.coordinator("again", { job: main, checkpoint: 3 }),
      runs.worker("again", "w", { job: own }),
    ]);
    const board = await runs.sealed("again");
    await ask("XADD", "ingot:again:rounds", "500-0", "p", "AAAA", "s", "B".repeat(22));
    const reader = new LogReader(board, late, { refused() {}, round: async () => {}, loaded() {} });
    await reader.commit(2, [new Uint8Array(4), new Uint8Array(4)]);
    expect(late.state).toBe(main.state);
    expect(await roundsIn("again", "rounds")).toEqual([4, 5, 6]);
    board.connection.close();
  });

  test("Redis is killed at checkpoints and comes back with what it kept: the run goes on", async () => {
    const [main, own] = [heavy(14, 2), heavy(14, 2, () => Bun.sleep(15))];
    const events: string[] = [];
    let isFirst = true;
    const via = (connection: Connection): void => {
      const put = connection.put.bind(connection);
      connection.put = async (key, bytes) => {
        const answer = await put(key, bytes);
        if (!isFirst || !key.includes(":chunk:")) return answer;
        isFirst = false;
        await redis.kill();
        void Bun.sleep(150).then(() => redis.start());
        return answer;
      };
    };
    await Promise.all([
      runs.coordinator("killed", { job: main, checkpoint: 3, events, via }),
      runs.worker("killed", "w", { job: own }),
    ]);
    expect([main.state, own.state]).toEqual(Array(2).fill(await chainAlone(14, 2)));
    expect(events.filter((event) => event.startsWith("saved")).length).toBeGreaterThanOrEqual(3);
    expect(runs.warned.some((text) => text.startsWith("Redis is back"))).toBe(true);
    expect(await keysOf("killed", "chunk:*")).toHaveLength(3);
  });
});
