/**
 * What messages name exists: every flag in the text of an error is an option of the script that speaks, or of the one
 * that the sentence names; every value behind it is one that the option takes.
 */
import { beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { FOLDERS } from "../../src/method/kinds.ts";
import { kinds, loadMethods } from "../../src/method/registry.ts";
import { runScript } from "../support/command.ts";

const ROOT = join(import.meta.dir, "../..");
const NAMES = readdirSync(join(ROOT, "scripts"))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => !["ingot", "test", "demo", "doctor", "experiments"].includes(name));

/** Flags that stand in no table of options: those of every script, and of `doctor`. */
const ELSEWHERE = ["--help", "--list", "--version", "--cwd", "--fix"];

/** A command of a program that is not ours, to the end of its sentence. */
const FOREIGN = /(?:\b(?:llama-[a-z]+|jq|gunzip|unzstd|git lfs)\b|`bun install`)[^;"]*/g;

/** Scripts that import a file for something else and never print its errors. */
const SILENT: Readonly<Record<string, readonly string[]>> = {
  "src/checkpoint/write/write.ts": ["evaluate", "adapt"], // --pass and --dump write streams, adapt no GGUF files
  "src/checkpoint/gguf/write/encoder.ts": ["evaluate", "adapt"],
  "src/checkpoint/gguf/write/importance.ts": ["evaluate", "adapt"], // it makes statistics and quantizes nothing
  "src/checkpoint/gguf/write/gguf-file.ts": ["evaluate", "merge", "adapt", "compress"], // whose results are no adapters of it
  "src/data/chat/jinja.ts": ["merge"], // it renders nothing
  "src/data/load-tokenizer.ts": ["merge"], // a model's vocabulary is that of its own tokenizer
  "src/data/tokenization/definition.ts": ["merge"],
  "src/data/chat/conversation.ts": ["sample", "serve", "merge"], // no token of a prompt counts, and of rows that are read none
  "src/data/sequences.ts": ["sample", "serve", "merge"], // prompts have their own limit; rows that are counted have none
  "src/data/split.ts": ["evaluate", "merge", "compress"],
  "src/data/dataset.ts": ["sample"], // it goes over texts of its own
  "src/data/examples.ts": ["sample", "serve"],
  "src/data/parse-row.ts": ["serve", "sweep"], // it reads requests, and no rows
  "src/data/formats/messages.ts": ["serve", "sweep"], // a request is told what is wrong, and no flag
  "src/run/measuring/mixed-model.ts": ["merge", "unlearn"], // a search measures its merges alone, prepare-pd one model
  "src/run/measuring/model-checks.ts": ["unlearn"], // prepare-pd has answers, and no metric of a choice
  "src/data/demonstrations/shown.ts": ["data"], // which checks its rows itself
  "src/tensor/program.ts": ["data"], // a retriever reads a prompt at a time
  "src/model/expect-buffers.ts": ["evaluate", "sample", "serve", "merge", "compress", "data"], // nothing is trained
  "src/model/adapters/lora/lora.ts": ["evaluate", "sample", "serve", "merge", "compress", "data"], // they make no adapter
  "src/model/adapters/lora/taken-out.ts": ["evaluate", "sample", "serve", "merge", "compress", "data"],
  "src/run/measuring/metric-checks.ts": ["merge"], // a search refuses metrics of gold models itself, and offloads nothing
  "src/run/generating/prompts.ts": ["train", "distill", "unlearn", "curriculum", "adapt", "align", "evaluate"],
  "src/run/batch-programs.ts": ["compress", "curriculum", "evaluate", "merge", "sample", "unlearn"], // they pack nothing
  // A sweep says what another script's options are, and asks metrics which of two values is better.
  "src/sweep/values.ts": ["sweep"],
  "src/data/columns.ts": ["serve", "sweep"],
  "src/run/measuring/groups.ts": ["sweep"],
  "src/evaluate/measures/output-gap.ts": ["sweep"],
  "src/evaluate/measures/model-utility.ts": ["sweep"],
  "src/evaluate/methods/metrics/mia-entropy.ts": ["sweep"],
  "src/merge/searches/universal.ts": ["sweep"], // which refuses searches of merges alone
  "src/merge/searches/cycleqd.ts": ["sweep"],
  "src/run/training/starting-model.ts": ["unlearn", "align"], // which say that no model is new
};

/** Flags that choose methods of a kind, where they have not its name. */
const FLAGS: Readonly<Record<string, string>> = { "training-probe": "--probe" };

/** Kinds that a script of another name chooses from with --method. */
const CHOSEN_BY_METHOD: Readonly<Record<string, string>> = {
  task: "data",
  continual: "adapt",
  "test-time": "adapt",
  synthesis: "distill",
};

interface Script {
  readonly flags: ReadonlySet<string>;
  /** What an option that has a list of values takes. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly files: ReadonlySet<string>;
}

interface Call {
  readonly file: string;
  readonly line: number;
  readonly message: string;
  readonly hint: string;
}

const importsOf = (file: string): string[] =>
  [...readFileSync(join(ROOT, file), "utf8").matchAll(/(?:\bfrom |\bimport |\bimport\()"(\.{1,2}\/[^"]+)"/g)]
    .map(([, path]) => normalize(join(dirname(file), path!)))
    .filter((path) => path.startsWith("src/") && path.endsWith(".ts") && existsSync(join(ROOT, path)));

/** The files that a script may run: its imports, and the methods of the kinds that its options choose from. */
function filesOf(name: string, chosen: readonly string[]): Set<string> {
  const found = new Set<string>();
  const methods = chosen
    .flatMap((kind) => FOLDERS[kind as keyof typeof FOLDERS])
    .flatMap((folder) =>
      readdirSync(join(ROOT, "src", folder), { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(".ts"))
        .map((file) => join("src", folder, file)),
    );
  const open = [...importsOf(`scripts/${name}.ts`), ...methods];
  for (let file = open.pop(); file !== undefined; file = open.pop()) {
    if (found.has(file)) continue;
    found.add(file);
    open.push(...importsOf(file));
  }
  return found;
}

/** What `--help all` of a script and of its sub-commands says, with the options of all methods that it can choose. */
async function readScript(name: string): Promise<Script> {
  const helpOf = async (...words: string[]) => (await runScript(name, [...words, "--help", "all"], ROOT)).text;
  const own = await helpOf();
  const listed = /^Commands .*\n((?: {2}.*\n)+)/m.exec(own)?.[1] ?? "";
  const commands = [...listed.matchAll(/^ {2}([a-z][\w-]*) {2}/gm)].map(([, command]) => command!);
  const text = [own, ...(await Promise.all(commands.map((command) => helpOf(command))))].join("\n");
  const flags = new Set<string>();
  const values = new Map<string, string[]>();
  for (const [, no, flag, listing] of text.matchAll(/^ {2}(?:-\w, )?--(\[no-\])?([a-z][\w-]*)(?: ([a-z][\w|-]*))?/gm)) {
    flags.add(`--${flag}`);
    if (no) flags.add(`--no-${flag}`);
    if (listing?.includes("|")) values.set(`--${flag}`, [...(values.get(`--${flag}`) ?? []), ...listing.split("|")]);
  }
  const chosen = kinds().filter(
    (kind) =>
      FOLDERS[kind].some((folder) => folder.startsWith(`${name}/`)) ||
      // merge has an option --align of its own, and train a --probe.
      (flags.has(`--${kind}`) && !NAMES.includes(kind) && !(kind === "probe" && name === "train")),
  );
  for (const kind of chosen) {
    const methods = await loadMethods(kind);
    for (const option of methods.flatMap(({ options }) => Object.keys(options)))
      flags.add(`--${option.replaceAll("_", "-")}`);
    const names = methods.map((method) => method.name);
    const flag = kind === name || CHOSEN_BY_METHOD[kind] === name ? "--method" : (FLAGS[kind] ?? `--${kind}`);
    values.set(flag, [...(values.get(flag) ?? []), ...names]);
    flags.add(flag);
  }
  return { flags, values, files: filesOf(name, chosen) };
}

/** Two arguments of a call as they stand in the source, from behind its bracket on. */
function argumentsAt(text: string, from: number): [string, string] {
  const parts: string[] = [];
  const inside: string[] = [];
  let at = from;
  let start = from;
  for (; at < text.length; at++) {
    const [letter, around] = [text[at]!, inside.at(-1)];
    if (around === '"' || around === "'" || around === "`") {
      if (letter === "\\") at++;
      else if (letter === around) inside.pop();
      else if (around === "`" && letter === "$" && text[at + 1] === "{") inside.push(text[++at]!);
    } else if (`"'\`([{`.includes(letter)) inside.push(letter);
    else if (")]}".includes(letter)) {
      if (inside.pop() === undefined) break;
    } else if (letter === "," && inside.length === 0) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start, at));
  return [parts[0] ?? "", parts[1] ?? ""];
}

const sources = new Map(
  readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file): [string, string] => [`src/${file}`, readFileSync(join(ROOT, "src", file), "utf8")]),
);

/** What stands for a text in a call: the text itself, or the constant of the file or of another that has its name. */
function textOf(argument: string, file: string): string {
  const name = argument.trim().replace(/,$/, "");
  if (!/^[A-Za-z_]\w*$/.test(name)) return argument;
  const defined = new RegExp(`\\bconst ${name}\\b[^=;]*=([^;]*);`);
  const exported = new RegExp(`\\bexport const ${name}\\b[^=;]*=([^;]*);`);
  const found =
    defined.exec(sources.get(file)!) ?? [...sources.values()].map((text) => exported.exec(text)).find((match) => match);
  return found?.[1] ?? argument;
}

const calls: readonly Call[] = [...sources].flatMap(([file, text]) =>
  [...text.matchAll(/\bnew UserError\(/g)].map((found) => {
    const [message, hint] = argumentsAt(text, found.index + found[0].length).map((argument) => textOf(argument, file));
    return { file, line: text.slice(0, found.index).split("\n").length, message: message!, hint: hint! };
  }),
);

/** A flag in a text, the word behind it, and the script that its sentence names. */
interface Mention {
  readonly flag: string;
  readonly value: string | undefined;
  readonly script: string | undefined;
}

/** Flags in a text. A command that is named lasts to the end of its sentence. */
function mentionsIn(whole: string): Mention[] {
  const text = whole.replaceAll(FOREIGN, "");
  return [...text.matchAll(/(?<![\w-])(--[a-z][a-z-]*[a-z]\d*)(?![\w-]*\$\{)(?:[ =]([a-z][\w-]*))?/g)].map((found) => {
    const before = text.slice(0, found.index).replaceAll(/\$\{[^"'`]*?\}/g, "X");
    const named = /(?:bun run|ingot) ([a-z]+)\b(?!.*(?:[;:)"`]|, | or )).*$/s.exec(before)?.[1];
    return { flag: found[1]!, value: found[2], script: named };
  });
}

const scripts = new Map<string, Script>();
beforeAll(async () => {
  const read = await Promise.all(NAMES.map(async (name) => [name, await readScript(name)] as const));
  for (const [name, script] of read) scripts.set(name, script);
});

/** Scripts that may print an error of a file. */
const speakers = (file: string): string[] =>
  NAMES.filter((name) => scripts.get(name)!.files.has(file) && !SILENT[file]?.includes(name));

const places = (faults: readonly { call: Call; what: string }[]) =>
  faults.map(({ call, what }) => `${call.file}:${call.line}: ${what}`);

test("an error names flags that some script has", () => {
  const known = new Set([...[...scripts.values()].flatMap(({ flags }) => [...flags]), ...ELSEWHERE]);
  const faults = calls.flatMap((call) =>
    mentionsIn(call.message + call.hint)
      .filter(({ flag }) => !known.has(flag) && !known.has(flag.replace("--no-", "--")))
      .map(({ flag }) => ({ call, what: flag })),
  );
  expect(places(faults)).toEqual([]);
});

test("a hint names flags that every script has which prints it, or the one that it names", () => {
  const faults = calls
    .filter(({ file }) => !file.startsWith("src/cli/"))
    .flatMap((call) =>
      mentionsIn(call.hint)
        .filter(({ flag }) => !ELSEWHERE.includes(flag))
        .flatMap(({ flag, script }) =>
          (script === undefined ? speakers(call.file) : [script])
            .filter((name) => {
              const flags = scripts.get(name)?.flags;
              return !flags?.has(flag) && !flags?.has(flag.replace("--no-", "--"));
            })
            .map((name) => ({ call, what: `${name} has no ${flag}` })),
        ),
    );
  expect(places(faults)).toEqual([]);
});

test("a hint names values that the option takes", () => {
  const faults = calls.flatMap((call) =>
    mentionsIn(call.hint).flatMap(({ flag, value, script }) =>
      (script === undefined ? speakers(call.file) : [script]).flatMap((name) => {
        const taken = scripts.get(name)?.values.get(flag);
        return value === undefined || taken === undefined || taken.includes(value)
          ? []
          : [{ call, what: `${name} takes no ${flag} ${value}` }];
      }),
    ),
  );
  expect(places(faults)).toEqual([]);
});

test("the laws see the hints that there are", () => {
  const named = calls.flatMap(({ hint }) => mentionsIn(hint));
  expect(calls.length).toBeGreaterThan(800);
  expect(named.length).toBeGreaterThan(150);
  expect(named.filter(({ script }) => script !== undefined).length).toBeGreaterThan(5);
  expect(named.filter(({ value }) => value !== undefined).length).toBeGreaterThan(20);
  expect(mentionsIn("bun run merge a+b --method linear; then --data x, or bun run doctor (see it), --lora")).toEqual([
    { flag: "--method", value: "linear", script: "merge" },
    { flag: "--data", value: "x", script: undefined },
    { flag: "--lora", value: undefined, script: undefined },
  ]);
});
