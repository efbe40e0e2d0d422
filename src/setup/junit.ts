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
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const { ending } of casesOf(xml, except)) counts[ending]++;
  return counts;
}

/** The tests of a report that failed, each as its file, the groups that it is in and its name. */
export const failedTests = (xml: string, except: ReadonlySet<string> = new Set()): string[] =>
  casesOf(xml, except)
    .filter(({ ending }) => ending === "failed")
    .map(({ file, group, name }) => [file, group, name].filter((part) => part !== "").join(" > "));

interface Case {
  readonly file: string;
  readonly group: string;
  readonly name: string;
  readonly ending: keyof Counts;
}

/** The cases of a report, but those of the files in `except`. */
function casesOf(xml: string, except: ReadonlySet<string>): Case[] {
  const cases: Case[] = [];
  // Text and attributes are escaped in the report, so a "<" always begins a tag.
  for (const [, attributes = "", body = ""] of xml.matchAll(/<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const read = (name: string) => plain(attributes.match(new RegExp(`\\b${name}="([^"]*)"`))?.[1] ?? "");
    const file = read("file");
    if (except.has(file)) continue;
    const ending = /<(failure|error)\b/.test(body) ? "failed" : /<skipped\b/.test(body) ? "skipped" : "passed";
    cases.push({ file, group: read("classname"), name: read("name"), ending });
  }
  return cases;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

/** A text without the escapes of XML. */
const plain = (escaped: string): string =>
  escaped.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) =>
    decimal || hex
      ? String.fromCodePoint(Number.parseInt(decimal ?? hex, decimal ? 10 : 16))
      : (ENTITIES[name] ?? whole),
  );

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
