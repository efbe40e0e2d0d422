/**
 * The model card of a result, README.md of a repository: base models, licence and how it was made, from its lineage.
 * Keys of its head: https://huggingface.co/docs/hub/model-cards
 */
import fs from "node:fs";
import path from "node:path";
import { isObject, type Json } from "../../json.ts";
import type { LineageEntry } from "../checkpoint.ts";
import { splitAdapter } from "../open.ts";
import { parseHubRef } from "./hub.ts";

/** What is known of a model's licence; undefined where its page or README.md states none. */
export type LicenceOf = (ref: string) => Promise<string | undefined>;

/** A checkpoint from outside that went into a result. */
interface Origin {
  /** As the user wrote it, an adapter without its base. */
  readonly ref: string;
  /** `org/name` of a model of the Hub. */
  readonly id: string | undefined;
  readonly licence: string | undefined;
}

export interface Card {
  readonly text: string;
  /** What the one who publishes must settle. */
  readonly warnings: readonly string[];
}

/** Licence of a model beside whose files lies a README.md with a head. */
export async function licenceInFolder(folder: string): Promise<string | undefined> {
  let text: string;
  try {
    const file = fs.statSync(folder).isDirectory() ? folder : path.dirname(folder);
    text = fs.readFileSync(path.join(file, "README.md"), "utf8");
  } catch {
    return undefined;
  }
  const head = /^---\r?\n([\s\S]*?)\r?\n---\r?\n/.exec(text)?.[1];
  if (head === undefined) return undefined;
  const { parse } = await import("yaml");
  let data: Json;
  try {
    data = parse(head);
  } catch {
    return undefined;
  }
  if (!isObject(data)) return undefined;
  const { license, license_name } = data;
  const found = license === "other" && typeof license_name === "string" ? license_name : license;
  return typeof found === "string" ? found : undefined;
}

function idOf(ref: string): string | undefined {
  return ref.startsWith("hf:") && !ref.startsWith("hf:datasets/") ? parseHubRef(ref).name : undefined;
}

async function originsOf(lineage: readonly LineageEntry[], licenceOf: LicenceOf): Promise<Origin[]> {
  const refs = new Set<string>();
  for (const { inputs } of lineage) {
    for (const { ref, header_sha256 } of inputs) {
      if (header_sha256 === undefined) continue; // data, or a step of this lineage
      const pair = splitAdapter(ref);
      for (const one of pair ? [pair.base, pair.adapter] : [ref]) refs.add(one);
    }
  }
  return Promise.all([...refs].map(async (ref) => ({ ref, id: idOf(ref), licence: await licenceOf(ref) })));
}

/** The licence of all, where they agree; else what has to be settled. */
function settle(origins: readonly Origin[]): { readonly licence?: string; readonly warnings: string[] } {
  const stated = [...new Set(origins.flatMap(({ licence }) => licence ?? []))];
  const silent = origins.filter(({ licence }) => licence === undefined).map(({ ref }) => shown(ref));
  if (stated.length > 1) {
    const each = origins.flatMap(({ ref, licence }) =>
      licence === undefined ? [] : `${shown(ref)} is under ${licence}`,
    );
    return { warnings: [`the models differ in their licences, so the card states none: ${each.join(", ")}`] };
  }
  if (silent.length > 0) {
    return { warnings: [`no licence is stated by ${silent.join(", ")}, so the card states none`] };
  }
  return { ...(stated[0] === undefined ? {} : { licence: stated[0] }), warnings: [] };
}

const relation = (lineage: readonly LineageEntry[], isAdapter: boolean): string =>
  isAdapter ? "adapter" : lineage.at(-1)?.script === "merge" ? "merge" : "finetune";

/** Places of this machine are nobody's business: only the last part of a path. */
function shown(ref: string): string {
  const pair = splitAdapter(ref);
  if (pair) return `${shown(pair.base)}+${shown(pair.adapter)}`;
  return ref.startsWith("hf:") || ref.startsWith("run:") ? ref : path.basename(ref);
}

function stepText({ script, method, seed, inputs, options, run }: LineageEntry, index: number): string {
  const read = inputs.map(({ ref, role, revision }) => {
    const at = revision === undefined ? "" : ` at ${revision.slice(0, 12)}`;
    return `  - ${role ?? "input"}: \`${shown(ref)}\`${at}`;
  });
  const recipe = typeof options.recipe === "string" ? ["", "```yaml", options.recipe.trimEnd(), "```"] : [];
  const head = `${index + 1}. \`${script}\`${method === undefined ? "" : ` with \`${method}\``}, seed ${seed}, run \`${run}\``;
  return [head, ...read, ...recipe].join("\n");
}

/**
 * Makes the card of a result that goes to `name` (org/name). Licences of inputs that differ, or that nobody states, are
 * left out of it and told in `warnings`.
 */
export async function makeCard(
  name: string,
  lineage: readonly LineageEntry[],
  isAdapter: boolean,
  licenceOf: LicenceOf,
): Promise<Card> {
  const origins = await originsOf(lineage, licenceOf);
  const { licence, warnings } = settle(origins);
  const bases = origins.flatMap(({ id }) => id ?? []);
  const methods = [...new Set(lineage.flatMap(({ script, method }) => [script, ...(method ? [method] : [])]))];
  const { stringify } = await import("yaml");
  const head = {
    ...(licence === undefined ? {} : { license: licence }),
    library_name: isAdapter ? "peft" : "transformers",
    ...(bases.length === 0 ? {} : { base_model: bases, base_model_relation: relation(lineage, isAdapter) }),
    tags: ["ingot", ...methods],
  };
  const text = [
    `---\n${stringify(head)}---`,
    `# ${name.slice(name.indexOf("/") + 1)}`,
    "Made with ingot. The weights hold this history; `ingot inspect MODEL --command` prints the commands that make it again.",
    "## Steps",
    lineage.map(stepText).join("\n"),
  ];
  if (warnings.length > 0) text.push("## Licence", warnings.map((line) => `${line}.`).join("\n"));
  return { text: `${text.join("\n\n")}\n`, warnings };
}
