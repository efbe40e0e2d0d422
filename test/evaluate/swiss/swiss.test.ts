/** Swiss tournaments: what the best, equals and random pairs come to, who leaves, and the command on records. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../../src/data/random.ts";
import { slopeOver, tournaments } from "../../../src/evaluate/swiss/tournament.ts";
import { runScript } from "../../support/command.ts";

const OPTIONS = { runs: 2000, eliminate: 0, order: "given", pairing: "swiss", seed: 0 } as const;

test("who is best on every benchmark wins every round and never leaves, whatever T is", () => {
  const scores = [
    [9, 9, 9, 9, 9],
    [1, 2, 3, 4, 5],
    [5, 4, 3, 2, 1],
    [2, 2, 2, 2, 2],
    [3, 1, 4, 1, 5],
  ];
  for (const eliminate of [0, 1, 2, 5])
    expect(tournaments(scores, { ...OPTIONS, runs: 200, eliminate })[0]).toEqual({ wins: 5, error: 0, survived: 1 });
});

test("equals have equal wins within the error of the simulation, also where ties are broken by who leaves", () => {
  const scores = Array.from({ length: 5 }, () => [1, 1, 1, 1]);
  for (const eliminate of [0, 1]) {
    const found = tournaments(scores, { ...OPTIONS, eliminate });
    const mean = found.reduce((sum, { wins }) => sum + wins, 0) / found.length;
    for (const { wins, error } of found) expect(Math.abs(wins - mean)).toBeLessThan(4 * error);
  }
});

test("with random pairs and nobody leaving, wins are the mean rate of wins over pairs times the rounds", () => {
  const random = new Random(3, "scores");
  const scores = Array.from({ length: 6 }, () => Array.from({ length: 7 }, () => random.below(5)));
  const found = tournaments(scores, { ...OPTIONS, runs: 4000, pairing: "random" });
  for (const [m, own] of scores.entries()) {
    const rate = own.reduce((sum, score, k) => {
      const others = scores.filter((_, other) => other !== m).map((row) => row[k]!);
      return sum + others.reduce((won, other) => won + (score > other ? 1 : score === other ? 0.5 : 0), 0) / 5;
    }, 0);
    expect(Math.abs(found[m]!.wins - rate)).toBeLessThan(4.5 * found[m]!.error + 1e-9);
  }
});

test("one that fails somewhere falls steeply with T, one that is second everywhere does not", () => {
  // The specialist is best on all but the first benchmark, where it is last.
  const scores = [
    [0, 9, 9, 9, 9],
    [5, 5, 5, 5, 5],
    ...[1, 2, 3, 4].map((i) => [9 - i, (i * 3) % 5, (i * 2) % 5, i % 5, (i * 4) % 5]),
  ];
  const eliminate = [0, 1, 2];
  const wins = eliminate.map((count) => tournaments(scores, { ...OPTIONS, eliminate: count }));
  const slopes = [0, 1].map(
    (m) =>
      slopeOver(
        eliminate,
        wins.map((each) => each[m]!.wins),
      )!,
  );
  expect(slopes[0]!).toBeLessThan(slopes[1]! - 0.2);
  expect(wins[2]![0]!.survived).toBeLessThan(wins[2]![1]!.survived);
});

let folder = "";
const record = (model: string, group: string, metric: string, value: number, better?: string) =>
  `${JSON.stringify({ model, group, metric, value, ...(better ? { better } : {}) })}\n`;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-swiss-"));
  const lines = ["a", "b", "c"].flatMap((model, m) => [
    record(model, "all", "loss", -m, "lower"),
    ...["x", "y"].flatMap((group) => [
      record(model, group, "loss", m, "lower"),
      record(model, group, "loss detail", -m),
      record(model, group, "accuracy", m, "higher"),
    ]),
  ]);
  writeFileSync(join(folder, "scores.jsonl"), lines.join(""));
  writeFileSync(join(folder, "few.jsonl"), lines.slice(0, -1).join(""));
  writeFileSync(join(folder, "rows.jsonl"), '{"text": "a"}\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const swiss = (line: string) => runScript("evaluate", ["swiss", ...line.split(" ")], folder);

test("the command reads records: less loss is better, sums over groups and further numbers are no benchmark", async () => {
  const { code, text, err } = await swiss("scores.jsonl --metric loss --runs 50 --json -q");
  expect([code, err]).toEqual([0, ""]);
  const found = JSON.parse(text);
  expect(found.benchmarks).toEqual(["x loss", "y loss"]);
  expect(found.rows[0]).toMatchObject({ model: "a", wins: [2, 2, 2], survived: [1, 1, 1], slope: 0 });
  const again = await swiss("scores.jsonl --metric loss --runs 50 --json -q");
  expect(again.text).toBe(text);
});

test.each([
  ["few.jsonl", "c has no score of y accuracy"],
  ["rows.jsonl", "rows.jsonl:1: not a score of a model"],
  ["scores.jsonl --metric bleu", "0 models and 0 benchmarks of bleu are no contest"],
  ["scores.jsonl few.jsonl", "a has two scores of x loss"],
  ["scores.jsonl --eliminate 1,1", "--eliminate 1,1: expected different numbers"],
])("%s is refused", async (line, message) => {
  const { code, err } = await swiss(line);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
