/**
 * Lineages from anywhere become scripts that run `bun run` and nothing else: each script is run by sh, in a folder and
 * with a path where nothing else can be found.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { parseLineage } from "../../src/checkpoint/lineage/lineage.ts";
import { UserError } from "../../src/errors.ts";
import { rerun } from "../../src/inspect/rerun.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-rerun-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PIECES = [
  "'",
  '"',
  "\\",
  "`",
  "$(",
  ")",
  "$HOME",
  ";touch x;",
  "\ntouch x\n",
  "&",
  "|",
  "> x",
  "#",
  "\r\n",
  "\t",
];
const MORE = [
  "<<'E'",
  "RECIPE",
  "}",
  "!",
  "*",
  "~",
  "=",
  "-o",
  "--",
  "+",
  "run:1",
  "hf:a/b",
  "\u202e",
  "é",
  "a",
  "/",
  "{1,2}",
];
const text = fc
  .array(fc.constantFrom(...PIECES, ...MORE, "\0", "\u001b["), { maxLength: 6 })
  .map((parts) => parts.join(""));
const words = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("a", "b", "model", "linear") },
  { weight: 2, arbitrary: text },
);
const value = fc.oneof(words, fc.array(words, { maxLength: 3 }), fc.boolean(), fc.double(), fc.constant(null));
const recipe = text.map((part) => `# ${part.replaceAll(/[\r\n]/g, " ")}\nmerge_method: linear\nmodels: [{model: a}]\n`);
const options = fc.oneof(
  fc.dictionary(fc.oneof(fc.constantFrom("weight", "data", "set", "dtype"), text), value, { maxKeys: 3 }),
  recipe.map((found) => ({ recipe: found })),
);
const input = fc.record({ ref: words, role: words, revision: words, header_sha256: words }, { requiredKeys: ["ref"] });
const step = fc.record({
  script: fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom("merge", "train", "distill cache") },
    { weight: 1, arbitrary: text },
  ),
  version: words,
  method: words,
  options,
  seed: fc.oneof(fc.integer(), fc.double()),
  inputs: fc.array(input, { maxLength: 3 }),
  run: fc.oneof(fc.constantFrom("1", "2"), text),
});

/** Everything that a script needs, as functions; the path leads nowhere. */
const SHELL = `PATH=/nonexistent
bun() { [ "$1" = run ]; }
mktemp() { echo .; }
mkdir() { :; }
rm() { :; }
export INPUT_1=i INPUT_2=i INPUT_3=i INPUT_4=i INPUT_5=i INPUT_6=i INPUT_7=i INPUT_8=i INPUT_9=i
`;

test("400 lineages: a script writes recipes and runs scripts of ingot, or there is none", async () => {
  const sh = Bun.which("sh")!;
  let scripts = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 3 }), async (steps) => {
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
      let script: string;
      try {
        const lineage = parseLineage(JSON.stringify(steps), "x");
        script = (await rerun(lineage)).script;
      } catch (error) {
        if (error instanceof UserError) return;
        throw error;
      }
      scripts++;
      const child = Bun.spawnSync([sh, "-c", SHELL + script], { cwd: folder, stdin: "ignore" });
      expect(child.stderr.toString()).toBe("");
      expect(child.exitCode).toBe(0);
      for (const name of readdirSync(folder)) expect(name).toMatch(/^\d+\.yml$/);
      for (const [i, { options }] of steps.entries())
        if (existsSync(join(folder, `${i + 1}.yml`)))
          expect(readFileSync(join(folder, `${i + 1}.yml`), "utf8")).toBe(
            String((options as { recipe: string }).recipe),
          );
    }),
    { numRuns: 400 },
  );
  expect(scripts).toBeGreaterThan(40);
}, 120_000);
