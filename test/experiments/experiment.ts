/**
 * An experiment as data: what is compared, and the figures that a seed gives. A file of a family's folder is one. The
 * family's test runs one seed of each and asserts the bounds; `bun run experiments` runs all seeds and writes the
 * tables of docs/experiments.md.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";

/** What the test asserts of a figure; a figure without is there to be read. */
export interface Bound {
  readonly below?: number;
  readonly above?: number;
  readonly is?: number;
}

export interface Experiment<Figure extends string = string> {
  readonly title: string;
  /** Data, models, and what is compared, in sentences. */
  readonly about: string;
  readonly seeds: readonly number[];
  /** The seed of the test, one of them. */
  readonly tested: number;
  /** A seed takes a minute: the test runs with INGOT_TEST_LONG=1 alone. */
  readonly long?: true;
  /**
   * Figures are of rows and columns, `row: column`, and are shown as a table of these too. Rows come and go with the
   * methods that there are, and a run leaves out those that do not work here.
   */
  readonly columns?: readonly string[];
  /** Figures by what they are, in the order of the table. */
  readonly figures: Readonly<Record<Figure, Bound>>;
  run(seed: number): Promise<Readonly<Record<Figure, number>>>;
}

/** What is wrong with the names of the figures that were found; undefined where they are the experiment's. */
export function strayFigures({ figures, columns }: Experiment, found: readonly string[]): string | undefined {
  const [stray] = found.filter((name) => !(name in figures));
  if (stray !== undefined) return `${stray} is no figure of the experiment`;
  const missing = columns ? undefined : Object.keys(figures).find((name) => !found.includes(name));
  return missing && `there is no ${missing}`;
}

/** An experiment whose run gives the figures that it names. */
export const experimentOf = <const Figure extends string>(given: Experiment<Figure>): Experiment => given;

/** Families in the order of the page; each is a folder beside this file. */
export const FAMILIES = [
  "training",
  "merging",
  "distillation",
  "unlearning",
  "curriculum",
  "continual",
  "adapters",
  "align",
  "compress",
  "among",
] as const;
export type Family = (typeof FAMILIES)[number];

/** A family's experiments by name, which is that of the file. Throws Error where a file has none. */
export async function experimentsOf(family: Family): Promise<Map<string, Experiment>> {
  const folder = join(import.meta.dir, family);
  const found = new Map<string, Experiment>();
  for (const file of readdirSync(folder).sort()) {
    const { experiment } = (await import(join(folder, file))) as { experiment?: Experiment };
    if (!experiment?.seeds.includes(experiment.tested)) throw new Error(`${family}/${file} has no tested experiment`);
    found.set(file.replace(/\.ts$/, ""), experiment);
  }
  return found;
}

/** What is wrong with a figure; undefined when it is within its bound. */
export function outOfBound(value: number, { below, above, is }: Bound): string | undefined {
  if (!Number.isFinite(value)) return `${value} is no number`;
  if (below !== undefined && !(value < below)) return `${value} is not below ${below}`;
  if (above !== undefined && !(value > above)) return `${value} is not above ${above}`;
  if (is !== undefined && value !== is) return `${value} is not ${is}`;
  return undefined;
}
