import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closingLine, countTests } from "../../src/setup/junit.ts";
import { run } from "../../src/setup/run.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-junit-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a report of bun test is counted to the case", async () => {
  mkdirSync(join(folder, "nested"));
  writeFileSync(
    join(folder, "nested", "a.test.ts"),
    `import { describe, expect, test } from "bun:test";
     test("right", () => expect(1).toBe(1));
     test("<failure/> in a name", () => {});
     test("wrong <skipped/>", () => expect("<testcase/>").toBe("b"));
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
  const counts = countTests(readFileSync(report, "utf8"));
  expect(counts).toEqual({ passed: 5, failed: 2, skipped: 2 });
});

test("no report counts nothing", () => {
  expect(countTests("")).toEqual({ passed: 0, failed: 0, skipped: 0 });
});

test("the closing line names skipped tests only when there are any", () => {
  expect(closingLine({ passed: 3, failed: 0, skipped: 0 })).toBe("3 passed, 0 failed");
  expect(closingLine({ passed: 3, failed: 1, skipped: 2 })).toBe("3 passed, 1 failed, 2 skipped");
});
