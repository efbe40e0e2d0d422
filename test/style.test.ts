/**
 * What every file keeps to, whatever it is about: lengths, casts, comments, and what methods say of themselves. Rules
 * of imports stand in architecture.test.ts, those of kernels in wgsl/conventions.test.ts.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { joinTables } from "../src/cli/shared-options.ts";
import { kinds, loadMethods, type MethodInfo, methodFiles } from "../src/method/registry.ts";
import { elementOf, optionValue } from "../src/method/validate.ts";

const ROOT = join(import.meta.dir, "..");

const filesOf = (folder: string, ...endings: string[]): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter(
      (file) =>
        endings.some((ending) => file.endsWith(ending)) && !/^golden\/(merge|train|train-next|loss)\//.test(file),
    )
    .map((file) => `${folder}/${file}`)
    .sort();

const linesOf = (file: string): string[] => readFileSync(join(ROOT, file), "utf8").trimEnd().split("\n");

/** Where a function or method may begin. Formatted code closes it at the indent at which it begins. */
const BEGINS =
  /^(\s*)(?:export )?(?:default )?(?:(?:static |override |private |readonly )*(?:async )?(?:function\b|(?:get |set |\*)?[#\w$]+(?:<.*>)?\(|constructor\()|const \w+ = (?:async )?(?:<.*>)?\(|[\w$]+: (?:async )?\()/;
const STATEMENT = /^\s*(?:if|for|while|switch|return|await|throw|else|catch|expect|new|super|do)\b/;

interface Span {
  readonly at: string;
  readonly lines: number;
  /** Whether the comment before it gives a reason for its length. */
  readonly excused: boolean;
}

/** Functions of a file with the number of their lines. */
function functionsOf(file: string): Span[] {
  const lines = linesOf(file);
  const found: Span[] = [];
  for (const [i, line] of lines.entries()) {
    const indent = BEGINS.exec(line)?.[1];
    if (indent === undefined || STATEMENT.test(line)) continue;
    let open = i;
    while (open < lines.length && open - i < 14 && !/[{;]$|=>$/.test(lines[open]!)) open++;
    if (!lines[open]?.endsWith("{") || /^\s*/.exec(lines[open]!)![0] !== indent) continue;
    let close = open + 1;
    while (close < lines.length && !lines[close]!.startsWith(`${indent}}`)) close++;
    const comment = lines.slice(Math.max(0, i - 6), i).join("\n");
    found.push({ at: `${file}:${i + 1}`, lines: close - i + 1, excused: /long because/i.test(comment) });
  }
  return found;
}

describe("source", () => {
  const files = filesOf("src", ".ts");

  test("functions are found", () => {
    const [longest] = functionsOf("src/cli/script.ts").sort((a, b) => b.lines - a.lines);
    expect(files.flatMap(functionsOf).length).toBeGreaterThan(1000);
    expect(longest!.lines).toBeGreaterThan(40);
  });

  test("no function has over 90 lines, unless its comment says why it is long", () => {
    const long = files.flatMap(functionsOf).filter(({ lines, excused }) => lines > 90 && !excused);
    expect(long.map(({ at, lines }) => `${at}: ${lines} lines`)).toEqual([]);
  });

  test("no file has over 350 lines", () => {
    expect(files.filter((file) => linesOf(file).length > 350)).toEqual([]);
  });

  test("types are cast against the compiler's word in few places", () => {
    const casts = (form: RegExp) => files.flatMap((file) => linesOf(file).filter((line) => form.test(line)));
    expect(casts(/\bas never\b/).length).toBeLessThanOrEqual(5);
    expect(casts(/\bas unknown as\b/).length).toBeLessThanOrEqual(12);
  });

  test("methods/ folders hold methods and nothing else", async () => {
    for (const kind of kinds())
      for (const [name, path] of methodFiles(kind))
        expect([name, typeof (await import(path)).method]).toEqual([name, "object"]);
  });
});

describe("text", () => {
  const code = [
    ...filesOf("src", ".ts", ".js"),
    ...filesOf("scripts", ".ts"),
    ...filesOf("test", ".ts"),
    ...filesOf("wgsl", ".wgsl"),
  ];

  test("comment lines have at most 120 columns", () => {
    const wide = code.flatMap((file) =>
      linesOf(file).flatMap((line, i) =>
        line.length > 120 && /^\s*(?:\/\*\*|\*|\/\/)/.test(line) ? [`${file}:${i + 1}`] : [],
      ),
    );
    expect(wide).toEqual([]);
  });

  test("command-line tests have at most 400 lines", () => {
    expect(filesOf("test/cli", ".test.ts").filter((file) => linesOf(file).length > 400)).toEqual([]);
  });
});

const CITE =
  /^(arXiv:\d{4}\.\d{4,5}|arXiv:[a-z-]+\/\d{7}|doi:10\.\d{4,}\/\S+|mergekit|ingot|common practice|https:\/\/\S+|[A-Z][\w.' -]+(?:,? [\w.' -]+)+)$/;

for (const kind of kinds()) {
  const files = methodFiles(kind);
  const methods: readonly MethodInfo[] = await loadMethods(kind);
  describe(`${kind}: what methods say of themselves`, () => {
    test.each([...files.keys()].map((name, i) => [name, methods[i]!] as const))("%s", async (name, method) => {
      expect(method.name.replaceAll("_", "-")).toBe(name);
      expect(method.name).toMatch(/^[a-z][a-z0-9]*([-_][a-z0-9]+)*$/);
      expect(method.title.length).toBeGreaterThan(1);
      expect(method.about.length).toBeGreaterThan(10);
      expect(method.about.length).toBeLessThan(120);
      expect(method.about).toMatch(/[^.]$/);
      expect(method.cite).toMatch(CITE);
      expect(readFileSync(files.get(name)!, "utf8")).toStartWith("/**");
      joinTables(method.options);
      for (const [option, spec] of Object.entries(method.options)) {
        expect([option, spec.help.length > 3, spec.help.length < 160]).toEqual([option, true, true]);
        expect([option, spec.help]).toEqual([option, expect.stringMatching(/[^.]$/)]);
        expect([option, spec.required === true && spec.default !== undefined]).toEqual([option, false]);
        if (spec.default === undefined || (Array.isArray(spec.default) && spec.default.length === 0)) continue;
        const texts = [spec.default].flat().map(String);
        const value = await optionValue(option, spec, { texts, origin: "the default" });
        expect([option, value]).toEqual([
          option,
          elementOf(spec.type) === undefined ? spec.default : [spec.default].flat(),
        ]);
      }
    });
  });
}
