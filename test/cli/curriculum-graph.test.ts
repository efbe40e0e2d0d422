/** `curriculum graph` and `curriculum plan`, as a user runs them. */
import { describe, expect, test } from "bun:test";
import { DATA, HELD, type Mixture, openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

describe("graph", () => {
  const line = `${DATA} ${HELD} --batch-size 4 --lr 0.01 --graph-steps 5 -q`;
  const approximate = `graph model ${line} -o approximate.json`;
  interface Graph {
    groups: string[];
    graph: number[][];
    start: number[];
    after: number[][];
  }
  const read = (name: string): Graph => JSON.parse(lab.read(name));
  const near = (a: readonly number[], b: readonly number[]) => {
    for (const [i, x] of a.entries()) expect(Math.abs(x - b[i]!)).toBeLessThan(1e-9);
  };

  test("holds what training on one group does for the others", async () => {
    await lab.once(approximate);
    const { groups, graph, start, after } = read("approximate.json");
    expect(groups).toEqual(["a", "b", "c"]);
    for (const [i, row] of graph.entries())
      near(
        row,
        start.map((loss, j) => Math.max(0, 1 - after[i]![j]! / loss)),
      );
    // Its runs are those of `curriculum` on that group alone.
    await lab.succeeds(
      `model --method static --mixture 0,1,0 --steps 5 ${DATA} ${HELD} --batch-size 4 --lr 0.01 -q --log alone.log -o alone/`,
    );
    near(Object.values(lab.held("alone.log")), after[1]!);
  }, 120_000);

  test("--exact compares halves with the whole", async () => {
    await Promise.all([lab.once(approximate), lab.succeeds(`graph model ${line} --exact -o exact.json`)]);
    const { graph, start, after } = read("exact.json");
    expect(start).toEqual(read("approximate.json").start);
    expect(after).toEqual(read("approximate.json").after);
    await lab.succeeds(
      `model --method static --mixture 1,0,1 --steps 5 ${DATA} ${HELD} --batch-size 4 --lr 0.01 -q --log half.log -o half/`,
    );
    const together = lab.held("half.log");
    const edge = (i: number, j: number, loss: number) => {
      const own = start[j]! - after[j]![j]!;
      expect(own).toBeGreaterThan(0);
      expect(Math.abs(graph[i]![j]! - Math.max(0, (start[j]! - loss - own) / own))).toBeLessThan(1e-9);
    };
    edge(0, 2, together.c!);
    edge(2, 0, together.a!);
    for (const i of [0, 1, 2]) expect(graph[i]![i]).toBe(1);
  }, 120_000);

  test("by hand needs no model, and its groups may come in another order", async () => {
    await lab.succeeds(`graph ${DATA} --edges a:b,c:a -q -o hand.json`);
    expect(read("hand.json").graph).toEqual([
      [1, 0.5, 0],
      [0, 1, 0],
      [0.5, 0, 1],
    ]);
    const other = "--data c=c.jsonl --data a=a.jsonl --data b=b.jsonl";
    const begins = async (data: string, log: string): Promise<Record<string, number>> => {
      const out = log.replace(".log", ".safetensors");
      await lab.succeeds(
        `model --method skill-it --graph hand.json ${data} ${HELD} ${RUN} --steps 1 --log ${log} -o ${out}`,
      );
      const [{ groups, probs }] = lab.mixtures(log) as [Mixture];
      return Object.fromEntries(groups.map((group, i) => [group, probs[i]!]));
    };
    const [one, two] = [await begins(DATA, "abc.log"), await begins(other, "cab.log")];
    expect(Object.keys(two)).toEqual(["c", "a", "b"]);
    const pull = { a: 1.5, b: 1, c: 1.5 };
    const all = Object.values(pull).reduce((sum, x) => sum + Math.exp(0.5 * x), 0);
    for (const [name, x] of Object.entries(pull)) {
      expect(Math.abs(one[name]! - Math.exp(0.5 * x) / all)).toBeLessThan(1e-9);
      expect(Math.abs(two[name]! - one[name]!)).toBeLessThan(1e-9);
    }
  }, 120_000);
});

describe("balance", () => {
  const line = `balance model ${DATA} ${HELD} --batch-size 4 --lr 0.01 -q`;
  interface Balanced {
    groups: string[];
    weights: number[];
    contribution: (number | null)[][];
    difficulty: number[];
    scores: { mini: number[]; full: number[][] };
  }

  test("weights follow from runs on small subsets and on all rows of each group", async () => {
    await lab.succeeds(`${line} --mini 0.25 --passes 2 -o weights.json`);
    const { groups, weights, contribution, difficulty, scores }: Balanced = JSON.parse(lab.read("weights.json"));
    expect(groups).toEqual(["a", "b", "c"]);
    expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(3, 9);
    const { mini, full } = scores;
    for (const [i, row] of contribution.entries())
      for (const [j, value] of row.entries())
        expect(value!).toBeCloseTo((full[i]![j]! - mini[j]!) / (full[j]![j]! - mini[j]!), 9);
    for (const [i, value] of difficulty.entries()) expect(value).toBeCloseTo(1 - mini[i]! / full[i]![i]!, 9);
    // Groups share no tokens: its own rows help a group most.
    for (const [i, row] of full.entries()) for (const other of full) expect(row[i]!).toBeGreaterThanOrEqual(other[i]!);
    // The weights are taken as they are.
    const given = "--method task-balance --weights-file weights.json";
    await lab.succeeds(`model ${given} ${DATA} ${RUN} --steps 2 --log balanced.log -o balanced/`);
    const [{ weights: used }] = lab.mixtures("balanced.log") as [Mixture];
    for (const [i, weight] of used!.entries()) expect(weight).toBeCloseTo(weights[i]!, 9);
  }, 120_000);

  test("--dry-run says how long it takes; parts that do not fit are refused", async () => {
    const { text, code } = await lab.run(`${line} --mini 0.25 --passes 2 -n --json --device none`);
    expect(code).toBe(0);
    // 4 of 16 rows of each group: 12 rows, and 24 with all of one, in batches of 4, twice.
    expect(JSON.parse(text)).toMatchObject({ runs: 4, steps: 6 + 3 * 12, mini: 0.25, passes: 2, held_out_rows: 12 });
    const refused = await lab.run(`${line} --parts 0.5,0.5 -o nothing.json`);
    expect(refused.err).toContain("--parts 0.5,0.5 should be three numbers that sum to 1");
    expect(refused.code).toBe(2);
  }, 120_000);
});

describe("plan", () => {
  test("C = 6 P N and N = rho P; too few tokens repeat", async () => {
    const { text, code } = await lab.run("plan --flops 1.2e6 --tokens-per-param 20 --tokens 500 --json");
    expect(code).toBe(0);
    const plan = JSON.parse(text);
    expect(plan.parameters).toBeCloseTo(100, 9);
    expect(plan.train_tokens).toBeCloseTo(2000, 6);
    expect(plan.flops).toBeCloseTo(1.2e6, 3);
    expect(plan.epochs).toBeCloseTo(4, 9);
    expect(plan.advice[0]).toBe("data repeat 4.0 times: the loss will be higher than on as many fresh tokens");
  });

  test("from a number of parameters, in words", async () => {
    const { text, err, code } = await lab.run("plan --parameters 1000 --tokens-per-param 5 --batch-size 10 -q");
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(text.split("\n")).toContain("train tokens: 5000");
    expect(text.split("\n")).toContain("flops: 30000000");
    expect(text).not.toContain("epochs"); // nothing is known of the data
  });

  test("--fit forecasts the loss of a longer run from a log, held-out losses before those of steps", async () => {
    const loss = (step: number) => 2 + 6 * step ** -0.5;
    const steps = Array.from({ length: 20 }, (_, i) => 50 * (i + 1));
    const trained = steps.map((step) => JSON.stringify({ event: "step", step, loss: loss(step) }));
    lab.write("trained.log", `${['{"event":"start"}', ...trained].join("\n")}\n`);
    const { text, code } = await lab.run("plan --fit trained.log --at 4000,10000 --json -q");
    expect(code).toBe(0);
    const { forecast } = JSON.parse(text);
    expect(forecast).toMatchObject({ of: "training loss", points: 20 });
    for (const found of forecast.losses) expect(Math.abs(found.loss - loss(found.step))).toBeLessThan(0.01);
    const held = steps.flatMap((step) => [
      JSON.stringify({ event: "eval", step, name: "loss", group: "a", value: 9 }),
      JSON.stringify({ event: "eval", step, name: "loss", value: loss(step) + 1 }),
    ]);
    lab.write("held.log", `${[...trained, ...held].join("\n")}\n`);
    const both = await lab.run("plan --fit held.log --parameters 1000 --tokens-per-param 4096 -q");
    expect(both.err).toBe("");
    // Steps of 8 rows of 1024 tokens: 500.
    expect(both.text).toContain("steps: 500\n");
    expect(both.text).toMatch(/held-out loss: 3[\d.]* \+ 6[\d.]* step\^-0\.\d+\nheld-out loss at step 500: 3\.2\d+\n/);
    // Without a plan or steps to ask for, 2, 4 and 10 times the run.
    const ahead = (await lab.run("plan --fit trained.log -q")).text;
    expect([...ahead.matchAll(/at step \d+/g)].map(([found]) => found)).toEqual(
      [2000, 4000, 10000].map((step) => `at step ${step}`),
    );
    lab.write("short.log", `${trained.slice(0, 2).join("\n")}\n`);
    for (const [line, message] of [
      ["plan --fit short.log", "short.log has 2 losses, and a law is fitted to 3 or more"],
      ["plan --fit none.log", "--fit none.log cannot be read"],
      ["plan --parameters 1000 --at 5", "--at has no effect without --fit"],
    ] as const) {
      const { err, code } = await lab.run(line);
      expect(err.startsWith(`curriculum: ${message}`)).toBe(true);
      expect(code).toBe(2);
    }
  }, 120_000);
});
