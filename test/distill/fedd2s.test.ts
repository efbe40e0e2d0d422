/** Clients that share class means alone: the means, the taps that leave, and runs that write several checkpoints. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { activeTaps, aggregate, classMeans } from "../../src/distill/federation/class-means.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { randomUnits } from "../support/random.ts";

describe("class means", () => {
  const soft = [
    [0.9, 0.1, 0.5, 0.5, 0.2, 0.8],
    [0.6, 0.4, 0.3, 0.7, 1, 0],
  ];
  const own = classMeans(soft, [0, 1, 1], 2);

  test("are of the rows of each class, tap by tap", () => {
    expect(own.counts).toEqual([1, 2]);
    const rounded = own.means.map((tap) => tap.map((mean) => Array.from(mean!, (x) => Number(x.toFixed(6)))));
    expect(rounded).toEqual([
      [
        [0.9, 0.1],
        [0.35, 0.65],
      ],
      [
        [0.6, 0.4],
        [0.65, 0.35],
      ],
    ]);
  });

  test("of one client are what comes back to it; of several they weigh by rows, and a class of one client is its own", () => {
    expect(aggregate([own])).toEqual(own);
    const other = classMeans(
      [
        [0.3, 0.7],
        [0, 1],
      ],
      [1],
      2,
    );
    const both = aggregate([own, other]);
    expect(both.counts).toEqual([1, 3]);
    expect(both.means[0]![0]).toEqual(own.means[0]![0]!);
    expect(both.means[0]![1]![0]).toBeCloseTo((2 * 0.35 + 0.3) / 3, 12);
    for (const tap of both.means) for (const mean of tap) expect(mean!.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    expect(aggregate([classMeans([[1, 0]], [0], 2)]).means[0]![1]).toBeUndefined();
  });

  test("the deepest taps leave first, and one stays", () => {
    expect([0, 1, 2, 3, 9].map((round) => activeTaps(3, round, 0.5))).toEqual([3, 3, 2, 2, 1]);
    expect(activeTaps(4, 5, 0.4)).toBe(2); // half are gone in the middle of ten rounds
    expect(activeTaps(4, 9, 0)).toBe(4);
  });
});

describe("runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-fedd2s-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const run = (line: string, init = "net.json") =>
    runScript(
      "distill",
      `fedd2s --init ${init} --rounds 3 --round-steps 4 --lr 0.01 --batch-size 6 ${line}`.split(" "),
      folder,
    );
  const apart = async (one: string, other: string) => {
    const [a, b] = [await tensorsOf(join(folder, one)), await tensorsOf(join(folder, other))];
    return Math.max(...[...a].flatMap(([name, x]) => [...x].map((v, i) => Math.abs(v - b.get(name)![i]!))));
  };

  beforeAll(() => {
    const unit = randomUnits(3);
    const rows = (classes: readonly number[]) =>
      Array.from({ length: 18 }, (_, i) => {
        const label = classes[i % classes.length]!;
        return JSON.stringify({ x: Array.from({ length: 5 }, (_, k) => unit() + (k === label ? 1 : 0)), label });
      }).join("\n");
    writeFileSync(join(folder, "a.jsonl"), rows([0, 1]));
    writeFileSync(join(folder, "b.jsonl"), rows([1, 2]));
    const net = { model_type: "mlp", input_size: 5, hidden_sizes: [8, 7], num_labels: 3 };
    writeFileSync(join(folder, "net.json"), JSON.stringify(net));
    writeFileSync(join(folder, "words.json"), JSON.stringify({ ...net, problem_type: "regression" }));
  });

  test("give every client a checkpoint, which hears of the others by what they say of classes", async () => {
    const { code, err, text } = await run("--data a=a.jsonl --data b=b.jsonl --log run.log --json -o both/");
    expect([code, err]).toEqual([0, err]);
    const told = JSON.parse(text) as { taps: number; clients: { name: string; loss: number }[] };
    expect(told.taps).toBe(2);
    expect(told.clients.map(({ name }) => name)).toEqual(["a", "b"]);
    for (const name of ["a", "b"]) expect(existsSync(join(folder, "both", name, "config.json"))).toBe(true);
    const rounds = readFileSync(join(folder, "run.log"), "utf8")
      .split("\n")
      .filter((line) => line.includes('"event":"round"'))
      .map((line) => JSON.parse(line) as { active: number });
    expect(rounds.map(({ active }) => active)).toEqual([2, 2, 1]);
    expect(await apart("both/a/model.safetensors", "both/b/model.safetensors")).toBeGreaterThan(1e-3);
    await run("--data a=a.jsonl -o self/");
    expect(await apart("both/a/model.safetensors", "self/a/model.safetensors")).toBeGreaterThan(1e-5);
  });

  test("without the weight of taps every client is as if it were alone", async () => {
    await run("--data a=a.jsonl --data b=b.jsonl --tap-weight 0 -o each/");
    await run("--data a=a.jsonl --tap-weight 0 -o alone/");
    expect(await apart("each/a/model.safetensors", "alone/a/model.safetensors")).toBe(0);
  });

  test.each([
    ["--data a=a.jsonl", "net.json", "every client's checkpoint is a folder"],
    ["--data a=a.jsonl -o none/", "words.json", "is a regressor"],
  ])("refuse %s of %s", async (line, init, said) => {
    const { err } = await run(line, init);
    expect(err).toContain(said);
  });
});
