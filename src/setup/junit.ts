/** Counting tests in the JUnit report of `bun test`, which is exact where the summary for people is made to be read. */

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/**
 * Counts the test cases of a report: each is a failure or error, skipped (or to do), or passed. Cases of the files in
 * `except` do not count.
 */
export function countTests(xml: string, except: ReadonlySet<string> = new Set()): Counts {
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  // Text and attributes are escaped in the report, so a "<" always begins a tag.
  for (const [, attributes, body = ""] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const file = attributes?.match(/\bfile="([^"]*)"/)?.[1];
    if (attributes === undefined || (file !== undefined && except.has(file))) continue;
    if (/<(failure|error)\b/.test(body)) failed++;
    else if (/<skipped\b/.test(body)) skipped++;
    else passed++;
  }
  return { passed, failed, skipped };
}

/** Files that did not run to their end because a process of tests crashed, as `bun test` names them in its output. */
export function cutShort(output: string): string[] {
  const plain = Bun.stripANSI(output);
  const lines = plain.matchAll(/^✗ (\S+) \((?:worker crashed|aborted)\b[^)]*\)$/gm);
  return [...new Set([...lines].flatMap(([, file]) => file ?? []))];
}

/** The files that have a case in a report. */
export const filesOf = (xml: string): Set<string> =>
  new Set([...xml.matchAll(/<testcase\b[^>]*?\bfile="([^"]*)"/g)].flatMap(([, file]) => file ?? []));

/** The line that a run ends with. */
export const closingLine = ({ passed, failed, skipped }: Counts): string =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
