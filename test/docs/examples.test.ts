/**
 * Every command that README, docs and help texts show runs as it is written, in a folder where the names that it uses
 * are tiny models and rows. A command that several places show runs once. What does not run stands in `ELSEWHERE`.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pages } from "../../docs/generate.ts";
import { STORY } from "../../src/demo/story.ts";
import { blockCommands, helpCommands, inlineCommands, type Shown } from "./commands.ts";
import { FIGURES } from "./figures.ts";
import { type Outcome, Scratch } from "./scratch.ts";

setDefaultTimeout(600_000);
const ROOT = join(import.meta.dir, "../..");

/** With INGOT_TEST_LONG=1 what takes a minute runs too. */
const LONG = process.env.INGOT_TEST_LONG === "1";

/** Commands that do not run here, and why. */
const ELSEWHERE: readonly (readonly [command: RegExp, why: string])[] = [
  [/^git clone|^npx/, "needs a network"],
  [/^bun link$/, "changes the home of the one who runs it"],
  [
    /^bun run (--cwd ingot\/ )?merge \.\.\.$|^ingot merge \.\.\.$/,
    "stands for any command; standing.test.ts runs such",
  ],
  [/^ingot doctor --fix$/, "installs packages"],
  [/^ingot demo$|^sh examples\/pipeline\.sh$/, "minutes; demo.test.ts runs its lines"],
  [/^bun run bench$|^bun test\/bench\//, "benchmarks take minutes and need an idle machine"],
  [/^ingot new\b/, "writes into the repository; new.test.ts runs it in a copy"],
  [/^sh FILE OUT$/, "stands for what inspect --command prints"],
  ...(LONG
    ? []
    : [
        [/^ingot (train --init adder\.json|evaluate adder\/) /, "a minute of sums"] as const,
        [/^ingot (train --init learner\.json|align learner\/|evaluate solver\/) /, "minutes of sums"] as const,
        [/^ingot (train|evaluate) .*--(schedule-search|probe layer-range) /, "dozens of trainings"] as const,
        [/^ingot adapt fuse /, "trains a network of adapters"] as const,
      ]),
];
/** Lines of the demo, which demo.test.ts runs in their order. */
const told = new Set(STORY.map(({ stages }) => `ingot ${stages.join(" | ingot ")}`));
const elsewhere = ({ place, line }: Shown) =>
  (place.startsWith("README.md:") && told.has(line)) || ELSEWHERE.some(([command]) => command.test(line));

/** A server ends by itself, at a port of its own. */
const ending = (line: string) =>
  /\bingot serve\b/.test(line) ? `${line} --for 0.05${line.includes("--port") ? "" : " --port 0"}` : line;

/** Files that mean something else in one place: a log where others have rows, a model that knows its rows by heart. */
const OTHER: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "scripts/report": { "a.jsonl": "run.jsonl", "b.jsonl": "run.jsonl" },
  "scripts/evaluate": { before: "knows" },
  "docs/unlearn.md": { model: "knows", "secrets.jsonl": "few.jsonl" },
};

/** Its recipes make all that they read; they run in an empty folder. */
const RECIPES = "README.md, recipes";
const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const blank = (text: string) => text.replaceAll(/[^\n]/g, "");
const FENCED = /^```sh\n[\s\S]*?^```$/gm;

/** The commands of the page on methods are run by new.test.ts. */
const texts: [place: string, text: string][] = [
  ["README.md", readme.replaceAll(FENCED, blank)],
  [
    RECIPES,
    readme.split(FENCED).reduce((text, part, i) => text + (readme.match(FENCED)![i - 1] ?? "") + blank(part), ""),
  ],
  ...[...pages()]
    .filter(([name]) => name !== "adding-a-method.md")
    .map(([name, text]): [string, string] => [`docs/${name}`, text]),
];
const scripts = readdirSync(join(ROOT, "scripts"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => !["ingot", "test"].includes(name));

const scratch = new Scratch();
const shown = new Map<string, Shown[]>();
const done = new Map<string, Outcome>();

/** The examples in the help of a script and of its sub-commands. */
async function ofHelp(script: string): Promise<Shown[]> {
  const help = async (line: string) => (await scratch.run(`bun run ${line} --help`, ROOT)).out;
  const { code, out: whole } = await scratch.run(`bun run ${script} --help all`, ROOT);
  expect([script, code, whole.length > 0]).toEqual([script, 0, true]);
  const names = [...(/^Commands .*\n([\s\S]*?)\n\n/m.exec(whole)?.[1]?.matchAll(/^ {2}(\w+) /gm) ?? [])];
  const below = await Promise.all(names.map(async ([, name]) => helpCommands(script, await help(`${script} ${name}`))));
  // Help names the launcher in use; pages say `ingot`.
  const named = (line: string) => line.replaceAll(/\bbun run (?=[a-z])/g, "ingot ");
  return [helpCommands(script, whole), ...below].flat().map(({ line, ...one }) => ({ ...one, line: named(line) }));
}

beforeAll(async () => {
  await scratch.prepare();
  for (const [place, text] of texts) shown.set(place, [...blockCommands(place, text), ...inlineCommands(place, text)]);
  for (const script of scripts) shown.set(`scripts/${script}`, await ofHelp(script));
});
afterAll(() => scratch.close());

test.each([...texts.map(([place]) => place), ...scripts.map((script) => `scripts/${script}`)])("%s", async (place) => {
  const folder = place === RECIPES ? scratch.empty(place) : scratch.folder(place, OTHER[place]);
  const failed: string[] = [];
  for (const one of shown.get(place)!) {
    // A page is whole: a later line may read what an earlier one made. What help repeats of a page has run there.
    if (elsewhere(one) || (place.startsWith("scripts/") && done.has(one.line))) continue;
    const outcome = await scratch.run(ending(one.line), folder);
    done.set(one.line, outcome);
    if (outcome.code !== 0) failed.push(`${one.place}: ${one.line}\n${outcome.err}`);
  }
  expect(failed).toEqual([]);
});

test.each(FIGURES.filter(({ long }) => LONG || !long))(
  "$page: $what",
  ({ page, inText, command, inOutput, unit = 1, margin }) => {
    const text = texts.find(([place]) => place === page)![1].replaceAll(/\s+/g, " ");
    const written = inText.exec(text)?.[1];
    const found = [...done].find(([line]) => command.test(line))?.[1];
    const measured = found && inOutput.exec(found.out + found.err)?.[1];
    expect([page, Number.isFinite(Number(written)), measured !== undefined]).toEqual([page, true, true]);
    expect(Math.abs(Number(measured) * unit - Number(written))).toBeLessThanOrEqual(margin);
  },
);

test("no command of a page would replace what an earlier one wrote", () => {
  const twice: string[] = [];
  for (const [place] of texts) {
    const written = new Set<string>();
    for (const { line, place: where } of shown.get(place)!)
      for (const [, out] of line.matchAll(/(?:-o|--out) ([^\s-]\S*)/g)) {
        // A sweep adds to its folder, and goes on with what is missing.
        if (written.has(out!) && !/--(overwrite|resume)|^ingot sweep /.test(line)) twice.push(`${where}: ${line}`);
        written.add(out!);
      }
  }
  expect(twice).toEqual([]);
});

test("few commands are left to others", () => {
  const all = [...shown.values()].flat();
  expect(all.length).toBeGreaterThan(120);
  expect(new Set(all.filter(elsewhere).map(({ line }) => line)).size).toBeLessThanOrEqual(40);
  expect(done.size).toBeGreaterThan(90);
  for (const [command] of ELSEWHERE)
    expect([command, all.some(({ line }) => command.test(line))]).toEqual([command, true]);
});
