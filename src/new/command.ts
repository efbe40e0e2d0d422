/** What the `new` script does: copies the example of a kind under another name, with its test. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Context, Outcome } from "../cli/context.ts";
import { UserError } from "../errors.ts";
import { FOLDERS, type Kind } from "../method/kinds.ts";
import { didYouMean } from "../method/nearest.ts";
import { methodFiles } from "../method/registry.ts";
import { checkedName, filled, PAGE, type Template, templates } from "./templates.ts";

export const NEW = {
  family: { type: "string", value: "FOLDER", help: "folder below the kind's own; the example's when left out" },
} as const;

/** Tests of the laws that methods of a kind claim. */
const LAW_TESTS: Partial<Record<Kind, string>> = {
  merge: "test/laws",
  distill: "test/laws",
  unlearn: "test/laws",
  smoothing: "test/laws",
  verifier: "test/laws",
  metric: "test/laws",
  attack: "test/laws",
  probe: "test/laws",
  adapter: "test/model/adapters",
  "adapter-init": "test/model/adapters",
  optimizer: "test/laws",
  schedule: "test/laws",
  loss: "test/laws",
  "gradient-rule": "test/laws",
  curriculum: "test/curriculum",
  selector: "test/curriculum",
  decoder: "test/laws",
  task: "test/data/tasks",
};

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The example that a word stands for: its own, or the first of the kind. Throws UserError with the nearest word. */
function templateFor(word: string, all: readonly Template[]): Template {
  const found = all.find((one) => one.word === word) ?? all.find((one) => one.kind === word);
  if (found) return found;
  const words = [...new Set(all.flatMap(({ word, kind }) => [word, kind]))];
  throw new UserError(`unknown kind of method ${word}`, didYouMean(word, words) ?? `the kinds are ${words.join(", ")}`);
}

/** Families of a kind with their folders: its own folders where there are several, else the folders in its only one. */
function familiesOf({ kind }: Template): Map<string, string> {
  const own: readonly string[] = FOLDERS[kind];
  const folders =
    own.length > 1
      ? own
      : readdirSync(join(ROOT, "src", own[0]!), { withFileTypes: true })
          .filter((entry) => entry.isDirectory())
          .map(({ name }) => `${own[0]}/${name}`);
  return new Map(folders.map((folder) => [basename(folder), `src/${folder}`]));
}

/** The example and the folder for what was typed. Throws UserError for an unknown kind or family. */
function placeFor(word: string, family: string | undefined): { template: Template; folder: string } {
  const all = templates(readFileSync(PAGE, "utf8"));
  const template = templateFor(word, all);
  if (family === undefined) return { template, folder: dirname(template.method.path) };
  const families = familiesOf(template);
  const folder = families.get(family);
  if (folder === undefined) {
    const names = [...families.keys()];
    const hint = names.length > 0 ? `the families are ${names.join(", ")}` : "leave out --family";
    throw new UserError(`${template.kind} has no family ${family}`, didYouMean(family, names) ?? hint);
  }
  const sibling = all.find(({ method }) => dirname(method.path) === folder);
  return { template: sibling ?? template, folder };
}

export async function newMethod(context: Context<typeof NEW>): Promise<Outcome> {
  const [word, typed, ...more] = context.args;
  if (word === undefined || typed === undefined || more.length > 0)
    throw new UserError(
      "expected a kind of method and a name",
      "for example: bun run new merge my-merge; new --help lists the kinds",
    );
  if (context.out !== "-")
    throw new UserError(
      `new writes below src/ and test/, not to ${context.out}`,
      "leave out -o; --family picks a folder",
    );
  const { template, folder } = placeFor(word, context.options.family);
  const name = checkedName(typed);
  const known = methodFiles(template.kind);
  const { files, commands, typed: called } = filled(template, name, folder);
  const taken = known.get(name) ?? files.map(({ path }) => join(ROOT, path)).find((path) => existsSync(path));
  if (taken !== undefined)
    throw new UserError(`${taken.replace(ROOT, "")} exists`, "choose another name; nothing was written");
  for (const { path, text } of context.dryRun ? [] : files) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text, { flag: "wx" });
  }
  const [method, test] = files.map(({ path }) => path);
  context.json({ kind: template.kind, name, files: [method, test] });
  const laws = LAW_TESTS[template.kind];
  const steps = [
    "write the formula, its source and its options",
    ...(laws ? [`claim its laws, and run bun test ${laws} -t ${called}`] : []),
    `write its test, and run bun test ${test}`,
    "bun docs/generate.ts, for the tables of docs/",
  ];
  context.print(`${context.dryRun ? "would write" : "wrote"} ${method} and ${test}
They are the example of docs/adding-a-method.md under another name. Next:
${steps.map((step, i) => `  ${i + 1}. ${step}`).join("\n")}
To run it on the small model of that page:
  ${commands.trimEnd().replaceAll("\n", "\n  ")}`);
  return {};
}
