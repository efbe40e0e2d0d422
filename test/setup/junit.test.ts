import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closingLine, countTests, cutShort, failedTests, filesOf } from "../../src/setup/junit.ts";
import { run } from "../../src/setup/run.ts";
import { deal } from "../../src/setup/run-tests.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-junit-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a report of bun test is counted to the case", async () => {
  mkdirSync(join(folder, "nested"));
  writeFileSync(
    join(folder, "nested", "a.test.ts"),
    `import { describe, expect, test } from "bun:test";
     test("right", () => expect(1).toBe(1));
     test("<failure/> in a name", () => {});
     describe("a & b", () => test("wrong <skipped/>", () => expect("<testcase/>").toBe("b")));
     test("throws", () => { throw new Error("</testcase>"); });
     test.skip("left out", () => {});
     test.todo("to do");
     describe("group", () => { test.each([1, 2, 3])("each %i", () => {}); });`,
  );
  const report = join(folder, "report.xml");
  const ended = await run([process.execPath, "test", "--reporter=junit", `--reporter-outfile=${report}`], {
    cwd: folder,
  });
  expect(ended.code).toBe(1);
  const xml = readFileSync(report, "utf8");
  expect(countTests(xml)).toEqual({ passed: 5, failed: 2, skipped: 2 });
  const named = ["nested/a.test.ts > a & b > wrong <skipped/>", "nested/a.test.ts > throws"];
  expect(failedTests(xml).toSorted()).toEqual(named);
  expect(failedTests(xml, new Set(["nested/a.test.ts"]))).toEqual([]);
});

test("files that a crash cut short are told apart from those that ran", async () => {
  const crashing = join(folder, "crashing");
  mkdirSync(crashing);
  const slow = 'test("slow", async () => { await Bun.sleep(3000); });';
  const crash =
    'test("crash", async () => { await Bun.sleep(300); process.kill(process.pid, "SIGSEGV"); await Bun.sleep(3000); });';
  const files = { "quick.test.ts": 'test("quick", () => {});', "crash.test.ts": crash, "slow.test.ts": slow };
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(crashing, name), `import { test } from "bun:test";\n${text}`);
  const report = join(crashing, "report.xml");
  const options = ["--parallel=3", "--no-isolate", "--reporter=junit", `--reporter-outfile=${report}`];
  const ended = await run([process.execPath, "test", ...options], { cwd: crashing });
  expect(ended.code).not.toBe(0);
  expect(cutShort(ended.stderr).toSorted()).toEqual(["crash.test.ts", "slow.test.ts"]);
  const xml = readFileSync(report, "utf8");
  expect(filesOf(xml)).toContain("quick.test.ts");
  expect(countTests(xml, new Set(cutShort(ended.stderr)))).toEqual({ passed: 1, failed: 0, skipped: 0 });
});

test("files are dealt into rounds that take about as long, each to one", () => {
  const times = { a: 50, b: 40, c: 30, d: 20, e: 10 };
  expect(deal(["e", "d", "c", "b", "a"], times, 2)).toEqual([
    ["a", "d", "e"],
    ["b", "c"],
  ]);
  expect(deal(["new", "a"], times, 2, 60)).toEqual([["new"], ["a"]]);
  expect(deal(["a"], times, 3)).toEqual([["a"]]);
});

test("no report counts nothing", () => {
  expect(countTests("")).toEqual({ passed: 0, failed: 0, skipped: 0 });
});

test("the closing line names skipped tests only when there are any", () => {
  expect(closingLine({ passed: 3, failed: 0, skipped: 0 })).toBe("3 passed, 0 failed");
  expect(closingLine({ passed: 3, failed: 1, skipped: 2 })).toBe("3 passed, 1 failed, 2 skipped");
});
