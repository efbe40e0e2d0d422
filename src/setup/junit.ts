/** Counting tests in the JUnit report of `bun test`, which is exact where the summary for people is made to be read. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Counts the test cases of a report: each is a failure or error, skipped (or to do), or passed. */
export function countTests(xml: string): Counts {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  // Text and attributes are escaped in the report, so a "<" always begins a tag.
  for (const [, attributes, body = ""] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    if (attributes === undefined) continue;
    if (/<(failure|error)\b/.test(body)) failed++;
    else if (/<skipped\b/.test(body)) skipped++;
    else passed++;
  }
  return { passed, failed, skipped };
}

/** The line that a run ends with. */
export const closingLine = ({ passed, failed, skipped }: Counts): string =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
