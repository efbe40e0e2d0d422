/** `report --follow`: what is appended to logs, told as it comes. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sparkline } from "../../src/report/follow/sparkline.ts";
import { blockOf, stateOf } from "../../src/report/follow/state.ts";
import { Tail } from "../../src/report/follow/tail.ts";
import { LogLines } from "../../src/report/log-lines.ts";
import { startScript } from "../support/command.ts";
import { done, lines, start, step } from "./logs.ts";

setDefaultTimeout(60_000); // the machine may be busy

const cwd = mkdtempSync(join(tmpdir(), "ingot-follow-"));
afterAll(() => rmSync(cwd, { recursive: true }));

test("a curve is as many letters as there is room, from the least to the most", () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 80)).toBe("▁▂▃▄▅▆▇█");
  expect(sparkline([3, 3, 1, 1], 2)).toBe("█▁");
  expect(sparkline([1, Number.NaN, 2], 3, true)).toBe("_ #");
  expect(sparkline([5, 5], 9)).toBe("▁▁");
  expect(sparkline([], 9)).toBe("");
});

test("a tail gives whole lines once, and says where a file begins anew", () => {
  const file = join(cwd, "tail.jsonl");
  const tail = new Tail(file);
  expect(tail.poll()).toBeUndefined();
  writeFileSync(file, "one\ntwo\nthr");
  expect(tail.poll()).toEqual({ lines: ["one", "two"], again: false });
  expect(tail.poll()).toEqual({ lines: [], again: false });
  appendFileSync(file, "ée\n");
  expect(tail.poll()).toEqual({ lines: ["thrée"], again: false });
  writeFileSync(file, "new\n");
  expect(tail.poll()).toEqual({ lines: ["new"], again: true });
  writeFileSync(`${file}.next`, "in its\nplace, and longer\n");
  renameSync(`${file}.next`, file);
  expect(tail.poll()).toEqual({ lines: ["in its", "place, and longer"], again: true });
  expect(() => new Tail(cwd).poll()).toThrow("is a folder");
});

const runOf = (...events: object[]) => {
  const log = new LogLines();
  for (const line of lines(events).split("\n")) log.take(line);
  return log.runs.at(-1)!;
};

test("a run at work tells its step, its loss and how long it takes", () => {
  const run = runOf({ ...start, options: { steps: 10 } }, step(1, 3), step(2, 1), step(3, 2));
  expect(stateOf(run, undefined)).toEqual({
    ...{ status: "running", step: 3, steps: 10, metric: "loss", last: 2, least: 1 },
    left: expect.closeTo(0.7, 6),
  });
  expect(blockOf("a", run, { metric: undefined, width: 80, ascii: false })).toEqual([
    "a: running  step 3/10  loss 2, least 1  0.70 s left",
    "  █▁▅",
  ]);
  expect(stateOf(run, "lr").last).toBe(0.1);
  for (const line of blockOf("a long name of a run", run, { metric: undefined, width: 20, ascii: true }))
    expect(Bun.stringWidth(line)).toBeLessThan(20);
});

test("what would steer a terminal is made visible", () => {
  const run = runOf(start, { ...step(1, 2), "\u001b[2Jx": 1 }, { event: "end", ok: false, error: "\u001b[31mred" });
  const block = blockOf("\u001b]0;a\u0007", run, { metric: "\u001b[2Jx", width: 200, ascii: false }).join("\n");
  expect(block).not.toContain("\u001b");
  expect(block).toContain("failed");
});

test("lines come as the log grows, and the end of the run is the end", async () => {
  const file = join(cwd, "grows.jsonl");
  const child = startScript("report", ["--follow", "grows.jsonl", "--every", "0.05"], cwd);
  writeFileSync(file, `${lines([{ ...start, options: { steps: 3 } }, step(1, 3)])}\n`);
  const reader = child.stdout.getReader();
  let told = "";
  const until = async (text: string) => {
    while (!told.includes(text)) {
      const { value, done: over } = await reader.read();
      if (over) return;
      told += new TextDecoder().decode(value);
    }
  };
  await until("step 1/3");
  const cut = JSON.stringify(step(2, 2));
  appendFileSync(file, cut.slice(0, 10));
  await Bun.sleep(200);
  appendFileSync(file, `${cut.slice(10)}\n${lines([step(3, 1), done])}\n`);
  await until("ended");
  expect(await child.exited).toBe(0);
  expect(told.split("\n").map((line) => line.split("  ").slice(0, 3).join("  "))).toEqual([
    "grows: running  step 1/3  loss 3, least 3",
    "grows: running  step 2/3  loss 2, least 2",
    "grows: running  step 3/3  loss 1, least 1",
    "grows: ended  step 3/3  loss 1, least 1",
    "",
  ]);
});

test("objects for machines; a run that failed is exit code 1", async () => {
  writeFileSync(
    join(cwd, "failed.jsonl"),
    `${lines([start, step(1, 3), { event: "end", ok: false, error: "no room" }])}\n`,
  );
  const child = startScript("report", ["--follow", "failed.jsonl", "--json", "--every", "0.05"], cwd);
  const told = (await new Response(child.stdout).text()).trim().split("\n");
  expect(await child.exited).toBe(1);
  expect(told.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ name: "failed", status: "running", last: 3 }),
    expect.objectContaining({ name: "failed", status: "failed" }),
  ]);
});

test("what is no log is refused; an interruption ends it", async () => {
  writeFileSync(join(cwd, "text.txt"), "hello\n");
  const refused = startScript("report", ["--follow", "text.txt"], cwd);
  expect([await refused.exited, await new Response(refused.stderr).text()]).toEqual([
    2,
    expect.stringContaining("text.txt is not a log: it has no start event"),
  ]);
  const pipe = startScript("report", ["--follow", "-"], cwd);
  expect(await pipe.exited).toBe(2);
  writeFileSync(join(cwd, "open.jsonl"), `${lines([start, step(1, 3)])}\n`);
  const open = startScript("report", ["--follow", "open.jsonl", "--every", "0.05"], cwd);
  await open.stdout.getReader().read();
  open.kill("SIGINT");
  expect(await open.exited).toBe(130);
});
