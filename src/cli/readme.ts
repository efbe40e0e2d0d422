/** The README's tables of methods, made from the method files; `bun src/cli/readme.ts` puts them in place. */
import { fileURLToPath } from "node:url";
import { loadMethods, type MethodFolder } from "./methods.ts";

const README = fileURLToPath(new URL("../../README.md", import.meta.url));

/** Where a citation can be read. */
function link(cite: string): string {
  const [, kind, id] = /^(arXiv|doi):(.+)$/.exec(cite) ?? [];
  if (kind === "arXiv") return `[arXiv:${id}](https://arxiv.org/abs/${id})`;
  if (kind === "doi") return `[doi:${id}](https://doi.org/${id})`;
  return cite === "mergekit" ? "[mergekit](https://github.com/arcee-ai/mergekit)" : cite;
}

/** One row per method of a folder: name, what it does, source. */
export async function methodsTable(folder: MethodFolder): Promise<string> {
  const rows = (await loadMethods(folder)).map(({ name, about, cite }) => `| \`${name}\` | ${about} | ${link(cite)} |`);
  return ["| method | what it does | source |", "|---|---|---|", ...rows].join("\n");
}

const marks = (folder: string) => [`<!-- methods of ${folder} -->`, "<!-- end of methods -->"] as const;

/** The README's text with its tables brought up to date. */
export async function withTables(text: string, folders: readonly string[] = ["merge", "data/tasks"]): Promise<string> {
  let result = text;
  for (const folder of folders) {
    const [begin, end] = marks(folder);
    const from = result.indexOf(begin);
    const to = result.indexOf(end, from);
    if (from < 0 || to < 0) throw new Error(`README.md has no place for the methods of ${folder}`);
    result = `${result.slice(0, from + begin.length)}\n\n${await methodsTable(folder)}\n\n${result.slice(to)}`;
  }
  return result;
}

if (import.meta.main) await Bun.write(README, await withTables(await Bun.file(README).text()));
