/** The sensitivity of trainings to their rate, from logs. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { foreseenScores, sensitivities, slopeOf } from "../../src/evaluate/lr-sensitivity.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-sensitivity-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (parameters: number, rate: number, last: number | undefined, score?: number) => ({
  ...{ file: `${parameters}-${rate}.log`, parameters, rate, first: 4, last, score },
});

test("it is the mean over rates of what each loses to the best, no more than the loss at the start", () => {
  const [size] = sensitivities([run(10, 0.1, 1), run(10, 0.01, 2), run(10, 1, undefined), run(10, 10, 9)]);
  expect(size).toMatchObject({ best_loss: 1, best_rate: 0.1, broken: 1, sensitivity: (0 + 1 + 3 + 3) / 4 });
  expect(size!.rates.map(({ rate }) => rate)).toEqual([0.01, 0.1, 1, 10]);
});

test("sizes have a slope, and scores of a larger model follow from theirs", () => {
  const runs = [10, 100].flatMap((parameters) => [
    run(parameters, 0.1, 1, 2 * parameters ** 0.5),
    run(parameters, 1, 1 + 0.2 * parameters ** 0.25, 3 * parameters),
  ]);
  const sizes = sensitivities(runs);
  expect(slopeOf(sizes)).toBeCloseTo(0.25, 9);
  expect(slopeOf(sizes.slice(1))).toBeUndefined();
  const [low, high] = foreseenScores(sizes, 1e4);
  expect(low!.score).toBeCloseTo(200, 6);
  expect(high!.score).toBeCloseTo(3e4, 6);
});

/** A log of a training. */
function log(name: string, lr: number, losses: readonly number[], more: readonly object[] = [], ok = true): string {
  const lines = [
    { event: "start", script: "train", options: { lr }, parameters: { total: 50, trainable: 50 } },
    ...losses.map((loss, i) => ({ event: "step", step: i + 1, loss })),
    ...more,
    { event: "end", ok },
  ];
  writeFileSync(join(folder, name), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return name;
}

test("logs are read: held-out losses where there are some, and runs that broke off", async () => {
  const held = { event: "eval", step: 2, name: "loss", value: 1.5 };
  const files = [
    log("low.log", 1e-3, [3, 2], [{ event: "eval", step: 2, name: "loss", group: "a", value: 9 }, held]),
    log("high.log", 1e-1, [3, 1, 1.25]),
    log("broken.log", 1, [3, 70], [], false),
  ];
  const found = async (line: string) => runScript("evaluate", `lr-sensitivity ${line}`.split(" "), folder);
  const { text, code } = await found(`${files.join(" ")} --json -q`);
  expect(code).toBe(0);
  expect(JSON.parse(text).sizes).toEqual([
    {
      ...{ parameters: 50, best_loss: 1.25, best_rate: 0.1, broken: 1, sensitivity: (0.25 + 0 + 1.75) / 3 },
      rates: [
        { rate: 1e-3, loss: 1.5 },
        { rate: 1e-1, loss: 1.25 },
        { rate: 1, loss: 3 },
      ],
    },
  ]);
  expect((await found("low.log")).err).toContain("a sweep has two logs or more");
  expect((await found("low.log high.log --to 1000")).err).toContain("bun run train --probe logits writes them");
  writeFileSync(join(folder, "other.log"), '{"event": "start", "script": "merge"}\n');
  expect((await found("low.log other.log")).err).toContain("other.log is no log of a training with steps");
});
