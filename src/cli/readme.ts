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

/** Folders of src/ with a table: what its rows are called, and what the files export under that or another name. */
const TABLES: Readonly<Record<string, { readonly rows: string; readonly exports: readonly string[] }>> = {
  merge: { rows: "method", exports: ["method"] },
  "train/optim": { rows: "optimizer", exports: ["optimizer"] },
  "train/schedule": { rows: "schedule", exports: ["schedule"] },
  distill: { rows: "method", exports: ["method"] },
  unlearn: { rows: "method", exports: ["method"] },
  curriculum: { rows: "sampler, ordering or selector", exports: ["sampler", "ordering", "selector"] },
  evaluate: { rows: "metric", exports: ["metric"] },
  "evaluate/attack": { rows: "attack", exports: ["method"] },
  "evaluate/probe": { rows: "probe", exports: ["method"] },
  "data/tasks": { rows: "method", exports: ["method"] },
};

interface Described {
  readonly name: string;
  readonly about: string;
  readonly cite: string;
}

/** One row per method of a folder: name, what it does, source. */
async function methodsTable(folder: string): Promise<string> {
  const { rows, exports } = TABLES[folder]!;
  const path = fileURLToPath(new URL(`../${folder}/`, import.meta.url));
  const exporting = new RegExp(`^export const (${exports.join("|")})\\b`, "m");
  const kindOf = (file: string) =>
    file.endsWith(".ts") ? exporting.exec(readFileSync(path + file, "utf8"))?.[1] : undefined;
  const files = readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();
  const found: Described[] = await Promise.all(
    files.filter(kindOf).map(async (file) => (await import(path + file))[kindOf(file)!]),
  );
  const lines = found.map(({ name, about, cite }) => `| \`${name}\` | ${about} | ${link(cite)} |`);
  return [`| ${rows} | what it does | source |`, "|---|---|---|", ...lines].join("\n");
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
