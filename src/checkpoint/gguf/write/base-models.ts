/** What a GGUF file says of a model's history: `general.base_model.*` for any reader, and ingot's own lineage. */
import type { LineageEntry } from "../../checkpoint.ts";
import { encodeLineage, LINEAGE_KEY } from "../../lineage/lineage.ts";
import { type GgufEntries, text, u32 } from "./encode-header.ts";

/** Roles of inputs that are models, not data. */
const isModel = ({ ref, header_sha256 }: LineageEntry["inputs"][number]): boolean =>
  !ref.startsWith("run:") && header_sha256 !== undefined;

/** Models that the result came from and that no run of ingot made, each once, in the order in which they came in. */
function baseModels(lineage: readonly LineageEntry[]) {
  const found = new Map<string, { name: string; organization?: string; url?: string; version?: string }>();
  for (const { inputs } of lineage) {
    for (const input of inputs) {
      if (!isModel(input) || found.has(input.ref)) continue;
      const hub = /^hf:([^/@+]+)\/([^/@+]+)/.exec(input.ref);
      if (hub) {
        const [, organization, name] = hub;
        const url = `https://huggingface.co/${organization}/${name}`;
        const version = input.revision === undefined ? {} : { version: input.revision };
        found.set(input.ref, { name: name!, organization: organization!, url, ...version });
      } else {
        const name = input.ref.split("/").findLast((part) => part !== "") ?? input.ref;
        found.set(input.ref, { name: name.replace(/\.(safetensors|gguf)$/, "") });
      }
    }
  }
  return [...found.values()];
}

/** Adds the keys of the history; none when there is no history. */
export function addHistory(entries: GgufEntries, lineage: readonly LineageEntry[]): void {
  const bases = baseModels(lineage);
  if (bases.length > 0) entries.set("general.base_model.count", u32(bases.length));
  for (const [i, { name, organization, url, version }] of bases.entries()) {
    const prefix = `general.base_model.${i}`;
    entries.set(`${prefix}.name`, text(name));
    if (organization !== undefined) entries.set(`${prefix}.organization`, text(organization));
    if (version !== undefined) entries.set(`${prefix}.version`, text(version));
    if (url !== undefined) entries.set(`${prefix}.repo_url`, text(url));
  }
  if (lineage.length > 0) entries.set(LINEAGE_KEY, text(encodeLineage(lineage)));
}
