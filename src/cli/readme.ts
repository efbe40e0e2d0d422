/** The README's tables of methods, made from the method files; `bun src/cli/readme.ts` puts them in place. */
import { fileURLToPath } from "node:url";
import type { Kind } from "../method/kinds.ts";
import { loadMethods, type MethodInfo } from "../method/registry.ts";

const README = fileURLToPath(new URL("../../README.md", import.meta.url));

/** Where a citation can be read. */
function link(cite: string): string {
  const [, kind, id] = /^(arXiv|doi):(.+)$/.exec(cite) ?? [];
  if (kind === "arXiv") return `[arXiv:${id}](https://arxiv.org/abs/${id})`;
  if (kind === "doi") return `[doi:${id}](https://doi.org/${id})`;
  return cite === "mergekit" ? "[mergekit](https://github.com/arcee-ai/mergekit)" : cite;
}

/** Kinds with a table, and what its rows are called. */
const TABLES: Partial<Record<Kind, string>> = {
  merge: "method",
  optimizer: "optimizer",
  schedule: "schedule",
  distill: "method",
  unlearn: "method",
  curriculum: "sampler or ordering",
  selector: "selector",
  metric: "metric",
  attack: "attack",
  probe: "probe",
  task: "task",
};

/** One row per method of a kind: name, what it does, source. */
async function methodsTable(kind: Kind): Promise<string> {
  const found: MethodInfo[] = await loadMethods(kind);
  const lines = found.map(({ name, about, cite }) => `| \`${name}\` | ${about} | ${link(cite)} |`);
  return [`| ${TABLES[kind]} | what it does | source |`, "|---|---|---|", ...lines].join("\n");
}

const marks = (kind: Kind) => [`<!-- methods of ${kind} -->`, "<!-- end of methods -->"] as const;

/** The README's text with its tables brought up to date. */
export async function withTables(text: string): Promise<string> {
  let result = text;
  for (const kind of Object.keys(TABLES) as Kind[]) {
    const [begin, end] = marks(kind);
    const from = result.indexOf(begin);
    const to = result.indexOf(end, from);
    if (from < 0 || to < 0) throw new Error(`README.md has no place for the methods of ${kind}`);
    result = `${result.slice(0, from + begin.length)}\n\n${await methodsTable(kind)}\n\n${result.slice(to)}`;
  }
  return result;
}

if (import.meta.main) await Bun.write(README, await withTables(await Bun.file(README).text()));
