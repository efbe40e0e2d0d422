/** Which models are the same run with another seed. */
import { createHash } from "node:crypto";
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";

/** A model, as results name it, with the history that its file holds. */
export interface Named {
  readonly ref: string;
  readonly lineage: readonly LineageEntry[];
}

/** How runs of one recipe are told: by what their files say, or else by their names. */
export type SeedRule = "lineage" | "names" | "off";

/** What a model's runs are called together, and which of them it is. */
export interface SeedRun {
  readonly seeds_of: string;
  readonly seed: string;
}

/**
 * By model; undefined for one that stands alone. Two are the same run where their histories agree in all but seeds, and
 * the seeds differ. With "names" also where names differ in one number behind `seed` or `s`: a-seed1, a_s2.
 *
 *   seedRuns([{ ref: "npo-0/", lineage }, { ref: "npo-1/", lineage: other }], "lineage")
 *   // [{ seeds_of: "npo-*\/", seed: "0" }, { seeds_of: "npo-*\/", seed: "1" }]
 */
export function seedRuns(models: readonly Named[], rule: SeedRule): (SeedRun | undefined)[] {
  const found: (SeedRun | undefined)[] = models.map(() => undefined);
  if (rule === "off") return found;
  const taken = new Set<string>();
  const group = (identify: (model: Named) => Identity | undefined) => {
    const identities = models.map((model, i) => (found[i] ? undefined : identify(model)));
    const places = models.map((_, i) => i).filter((i) => identities[i]);
    for (const same of Map.groupBy(places, (i) => identities[i]!.recipe).values()) {
      const seeds = seedsOf(same.map((i) => identities[i]!.seeds));
      // The same run twice is no sample of seeds.
      if (same.length < 2 || new Set(seeds).size < same.length) continue;
      const seeds_of = nameOf(
        same.map((i) => models[i]!.ref),
        taken,
      );
      same.forEach((i, at) => {
        found[i] = { seeds_of, seed: seeds[at]! };
      });
    }
  };
  group(byLineage);
  if (rule === "names") group(byName);
  return found;
}

interface Identity {
  /** What all runs of it have in common. */
  readonly recipe: string;
  readonly seeds: readonly string[];
}

/** The history with its seeds taken out. Runs are named by hashes that hold their seeds, so those are followed. */
function byLineage({ ref, lineage }: Named): Identity | undefined {
  if (lineage.length === 0) return undefined;
  const recipes = new Map<string, string>();
  for (const { script, version, method, options, inputs, run } of lineage) {
    const sources = inputs.map((input) => {
      const [, id, rest] = input.ref.match(/^run:([^+]*)(.*)$/) ?? [];
      const source = id === undefined ? input.ref : `recipe:${recipes.get(id) ?? id}${rest}`;
      return { ...input, ref: source };
    });
    recipes.set(run, hash([script, version, method, Object.entries(options).sort(), sources]));
  }
  const adapter = /\+/.test(ref) ? ref.slice(0, ref.indexOf("+")) : "";
  return {
    recipe: hash([recipes.get(lineage.at(-1)!.run), adapter]),
    seeds: lineage.map(({ seed }) => String(seed)),
  };
}

const hash = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex");

function byName({ ref }: Named): Identity | undefined {
  const [, before, seed, after] = ref.match(/^(.*(?:seed|(?<![a-z])s)[-_=.]?)(\d+)(?!\d)(.*)$/i) ?? [];
  return seed === undefined ? undefined : { recipe: JSON.stringify([before, after]), seeds: [seed] };
}

/** The seeds in which runs differ, as one word each. */
function seedsOf(runs: readonly (readonly string[])[]): string[] {
  if (runs.some(({ length }) => length !== runs[0]!.length)) return runs.map((seeds) => seeds.at(-1)!);
  const steps = runs[0]!.map((_, step) => step).filter((step) => runs.some((seeds) => seeds[step] !== runs[0]![step]));
  return runs.map((seeds) => [...new Set(steps.map((step) => seeds[step]!))].join("/"));
}

/** What the names have in common, with a star for the rest; never one that is taken. */
function nameOf(refs: readonly string[], taken: Set<string>): string {
  const common = (list: readonly string[]) => {
    let n = 0;
    while (n < list[0]!.length && list.every((text) => text[n] === list[0]![n])) n++;
    return list[0]!.slice(0, n);
  };
  const before = common(refs).replace(/\d+$/, "");
  const reversed = refs.map((ref) => [...ref.slice(before.length)].reverse().join(""));
  const after = [...common(reversed)].reverse().join("").replace(/^\d+/, "");
  const short = `${before}*${after}`;
  const name = short === "*" || taken.has(short) ? refs.join(", ") : short;
  taken.add(name);
  return name;
}
