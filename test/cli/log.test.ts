/** The log of a run: its first line says what the run is, whatever comes up before that is known. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openLog } from "../../src/cli/log.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-log-"));
afterAll(() => rmSync(folder, { recursive: true }));

const linesOf = (path: string) =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));

test("warnings that come before the start stand behind it, in their order", () => {
  const path = join(folder, "run.log");
  const log = openLog(path, "abc", { script: "train" });
  for (const text of ["one", "two"]) log.event("warning", { text });
  log.start({ memory: 5 });
  log.event("warning", { text: "three" });
  log.end({ ok: true });
  expect(linesOf(path)).toMatchObject([
    { event: "start", run: "abc", script: "train", memory: 5 },
    { event: "warning", text: "one" },
    { event: "warning", text: "two" },
    { event: "warning", text: "three" },
    { event: "end", ok: true },
  ]);
});

test("a run that ends before it starts has them too", () => {
  const path = join(folder, "short.log");
  const log = openLog(path, "abc", {});
  log.event("warning", { text: "one" });
  log.end({ ok: false });
  expect(linesOf(path).map(({ event }) => event)).toEqual(["start", "warning", "end"]);
});
