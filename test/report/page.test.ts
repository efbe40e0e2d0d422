import { expect, test } from "bun:test";
import { toHtml } from "../../src/report/page/page.ts";
import { runsOf } from "../../src/report/read.ts";
import { lines, runs, start, step } from "./logs.ts";

test("text of a log cannot break out of the page", () => {
  const evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>";
  const page = toHtml(
    runsOf(
      `${evil}.jsonl`,
      lines([
        { ...start, script: evil, options: { [evil]: evil } },
        { ...step(1, 2), [evil]: 1 },
        { event: "warning", text: evil },
        { event: "end", ok: false, error: evil },
      ]),
    ),
  );
  expect(page).not.toContain("<script>alert");
  expect(page).not.toContain("<img");
  expect(page.match(/<script>/g)).toHaveLength(2);
});

test("the page asks for nothing", () => {
  expect(toHtml(runs)).not.toMatch(/(src|href)=|url\(|@import|https?:\/\/(?!www\.w3\.org|github\.com)/);
});
