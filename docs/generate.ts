/** The tables of methods in docs/, made from the method files; `bun docs/generate.ts` brings them up to date. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { VerifierMethod } from "../src/align/verifying/contract.ts";
import { architectureOfType } from "../src/checkpoint/gguf/architectures.ts";
import { kinds, loadMethods, type MethodInfo } from "../src/method/registry.ts";
import type { Architecture } from "../src/model/architecture.ts";

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

/** Sizes, among which every architecture finds those that it asks for. */
const SIZES = {
  ...{ hidden_size: 16, intermediate_size: 8, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 1 },
  ...{ vocab_size: 8, n_embd: 8, n_head: 2, n_layer: 2, moe_intermediate_size: 8, shared_expert_intermediate_size: 8 },
  ...{
    first_k_dense_replace: 0,
    image_size: 4,
    patch_size: 2,
    num_channels: 1,
    num_labels: 2,
    input_size: 4,
    hidden_sizes: [4],
    depths: [1],
  },
};

/** One row per architecture, with what can be done with it. */
function architecturesTable(found: readonly Architecture[]): string {
  const lines = found.map((architecture) => {
    const { name, about, cite, task } = architecture;
    const specs = architecture.parameters(architecture.config(SIZES, `sizes of ${name}`));
    const adapted = specs.some(({ linear, parts, routes }) => linear && !parts && !routes);
    // A router has a row for every expert, the gate of a shared expert one.
    const sparse = specs.some(({ routes, shape }) => routes && shape.length === 2 && shape[0]! > 1);
    const cells = [true, true, adapted, sparse, task === "causal-lm", architectureOfType(name) !== undefined];
    const marks = cells.map((cell) => (cell ? "yes" : "–"));
    return `| \`${name}\` | ${about} | ${marks.join(" | ")} | ${link(cite)} |`;
  });
  const head = "| name | what it does | evaluate | train | LoRA | experts | cache | GGUF out | source |";
  return [head, "|---|---|---|---|---|---|---|---|---|", ...lines].join("\n");
}

/** One row per verifier, with how a term of `--reward` is written. */
function verifiersTable(found: readonly VerifierMethod[]): string {
  const written = ({ explained = [] }: VerifierMethod) => explained.find(([label]) => label === "written")![1];
  const lines = found.map((one) => `| \`${written(one).replaceAll("|", "\\|")}\` | ${one.about} | ${link(one.cite)} |`);
  return ["| written | what it gives | source |", "|---|---|---|", ...lines].join("\n");
}

/** One row per method of a kind: name, what it does, source. */
async function methodsTable(kind: string): Promise<string> {
  const known = kinds().find((one) => one === kind);
  if (!known) throw new Error(`docs: there is no kind of method called ${kind}`);
  if (known === "architecture") return architecturesTable(await loadMethods(known));
  if (known === "verifier") return verifiersTable(await loadMethods(known));
  const found: MethodInfo[] = await loadMethods(known);
  const lines = found.map(({ name, about, cite }) => `| \`${name}\` | ${about} | ${link(cite)} |`);
  return ["| name | what it does | source |", "|---|---|---|", ...lines].join("\n");
}

const TABLE = /(<!-- methods of ([a-z-]+) -->)[\s\S]*?(<!-- end of methods -->)/g;

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
