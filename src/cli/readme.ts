/** The README's tables of methods, made from the method files; `bun src/cli/readme.ts` puts them in place. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const README = fileURLToPath(new URL("../../README.md", import.meta.url));

/** Where a citation can be read. */
function link(cite: string): string {
  const [, kind, id] = /^(arXiv|doi):(.+)$/.exec(cite) ?? [];
  if (kind === "arXiv") return `[arXiv:${id}](https://arxiv.org/abs/${id})`;
  if (kind === "doi") return `[doi:${id}](https://doi.org/${id})`;
  return cite === "mergekit" ? "[mergekit](https://github.com/arcee-ai/mergekit)" : cite;
}

/** Folders of src/ with a table, and what their files export. */
const TABLES: Readonly<Record<string, string>> = {
  merge: "method",
  "data/tasks": "method",
  evaluate: "metric",
  "train/optim": "optimizer",
  "train/schedule": "schedule",
};

interface Described {
  readonly name: string;
  readonly about: string;
  readonly cite: string;
}

/** One row per method of a folder: name, what it does, source. */
async function methodsTable(folder: string): Promise<string> {
  const kind = TABLES[folder]!;
  const path = fileURLToPath(new URL(`../${folder}/`, import.meta.url));
  const exporting = new RegExp(`^export const ${kind}\\b`, "m");
  const files = readdirSync(path).filter(
    (file) => file.endsWith(".ts") && exporting.test(readFileSync(path + file, "utf8")),
  );
  const found: Described[] = await Promise.all(files.sort().map(async (file) => (await import(path + file))[kind]));
  const rows = found.map(({ name, about, cite }) => `| \`${name}\` | ${about} | ${link(cite)} |`);
  return [`| ${kind} | what it does | source |`, "|---|---|---|", ...rows].join("\n");
}

const marks = (folder: string) => [`<!-- methods of ${folder} -->`, "<!-- end of methods -->"] as const;

/** The README's text with its tables brought up to date. */
export async function withTables(text: string): Promise<string> {
  let result = text;
  for (const folder of Object.keys(TABLES)) {
    const [begin, end] = marks(folder);
    const from = result.indexOf(begin);
    const to = result.indexOf(end, from);
    if (from < 0 || to < 0) throw new Error(`README.md has no place for the methods of ${folder}`);
    result = `${result.slice(0, from + begin.length)}\n\n${await methodsTable(folder)}\n\n${result.slice(to)}`;
  }
  return result;
}

if (import.meta.main) await Bun.write(README, await withTables(await Bun.file(README).text()));
