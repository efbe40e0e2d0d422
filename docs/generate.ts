/** The tables of methods in docs/, made from the method files; `bun docs/generate.ts` brings them up to date. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { kinds, loadMethods, type MethodInfo } from "../src/method/registry.ts";

/** Pages of docs/ with their text. */
export const pages = (): Map<string, string> =>
  new Map(
    readdirSync(import.meta.dir)
      .filter((file) => file.endsWith(".md"))
      .sort()
      .map((file) => [file, readFileSync(join(import.meta.dir, file), "utf8")]),
  );

/** Where a citation can be read. */
function link(cite: string): string {
  const [, kind, id] = /^(arXiv|doi):(.+)$/.exec(cite) ?? [];
  if (kind === "arXiv") return `[arXiv:${id}](https://arxiv.org/abs/${id})`;
  if (kind === "doi") return `[doi:${id}](https://doi.org/${id})`;
  return cite === "mergekit" ? "[mergekit](https://github.com/arcee-ai/mergekit)" : cite;
}

/** One row per method of a kind: name, what it does, source. */
async function methodsTable(kind: string): Promise<string> {
  const known = kinds().find((one) => one === kind);
  if (!known) throw new Error(`docs: there is no kind of method called ${kind}`);
  const found: MethodInfo[] = await loadMethods(known);
  const lines = found.map(({ name, about, cite }) => `| \`${name}\` | ${about} | ${link(cite)} |`);
  return ["| name | what it does | source |", "|---|---|---|", ...lines].join("\n");
}

const TABLE = /(<!-- methods of ([a-z]+) -->)[\s\S]*?(<!-- end of methods -->)/g;

/** A page's text with its tables brought up to date. Throws for a table of no known kind. */
export async function withTables(text: string): Promise<string> {
  const tables = new Map<string, string>();
  for (const [, , kind] of text.matchAll(TABLE)) tables.set(kind!, await methodsTable(kind!));
  return text.replace(TABLE, (_, begin, kind, end) => `${begin}\n\n${tables.get(kind)}\n\n${end}`);
}

/** Kinds whose methods a page lists. */
export const listed = (text: string): string[] => [...text.matchAll(TABLE)].map(([, , kind]) => kind!);

if (import.meta.main)
  for (const [file, text] of pages()) await Bun.write(join(import.meta.dir, file), await withTables(text));
