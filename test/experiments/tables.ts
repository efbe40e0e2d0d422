/** The tables of docs/experiments.md: made from experiments and their figures, and read back. */
import { type Bound, type Experiment, FAMILIES, type Family } from "./experiment.ts";

const begin = (family: Family) => `<!-- experiments: ${family} -->`;
const END = "<!-- end -->";

/** Figures as the page shows them: a row per figure, a column per seed. */
export type Shown = Readonly<Record<string, readonly string[]>>;

/** Three digits, and never more than three places. */
export const shown = (value: number): string => {
  const places = Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 1 ? 2 : 3;
  return value.toFixed(places).replace(/^-(0\.?0*)$/, "$1");
};

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const spread = (values: readonly number[]) =>
  Math.sqrt(values.reduce((sum, x) => sum + (x - mean(values)) ** 2, 0) / (values.length - 1));

const asserted = (bound: Bound): string =>
  (["above", "below", "is"] as const)
    .flatMap((word) => (bound[word] === undefined ? [] : [`${word} ${bound[word]}`]))
    .join(", ") || "–";

/** Mean ± standard deviation, with as many places as the values have; a dash where one is missing. */
function meanAndSpread(cells: readonly string[]): string {
  const values = cells.map(Number);
  const places = Math.max(...cells.map((cell) => cell.split(".")[1]?.length ?? 0));
  return values.every(Number.isFinite) ? `${mean(values).toFixed(places)} ± ${spread(values).toFixed(places)}` : "–";
}

const tableOf = (rows: readonly (readonly string[])[]): string => {
  const [head = [], ...body] = rows;
  return [head, head.map(() => "---"), ...body].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
};

/** A line for each row of figures `row: column`, with the means of all seeds. */
function gridOf(columns: readonly string[], found: Shown): string {
  const rows = [...new Set(Object.keys(found).map((figure) => figure.split(": ")[0]!))];
  const cell = (figure: string) => (found[figure] ? meanAndSpread(found[figure]) : "–");
  return tableOf([
    ["", ...columns],
    ...rows.map((row) => [row, ...columns.map((column) => cell(`${row}: ${column}`))]),
  ]);
}

/** An experiment's section. Mean and spread are those of the figures as they are shown. */
export function sectionOf({ title, about, seeds, tested, figures, columns }: Experiment, found: Shown): string {
  const head = ["figure", ...seeds.map((seed) => `seed ${seed}`), "mean ± sd", `asserted on seed ${tested}`];
  const names = Object.keys(figures).filter((figure) => !columns || found[figure]?.length === seeds.length);
  const rows = names.map((figure) => [
    figure,
    ...found[figure]!,
    meanAndSpread(found[figure]!),
    asserted(figures[figure]!),
  ]);
  const all = tableOf([head, ...rows]);
  const shown = Object.fromEntries(names.map((name) => [name, found[name]!]));
  const parts = columns ? [gridOf(columns, shown), "<details><summary>Every seed</summary>", all, "</details>"] : [all];
  return [`### ${title}`, about, ...parts].join("\n\n");
}

/** The figures of a section, by what the first column of the table of all seeds says. */
export function figuresOf(section: string): Shown {
  const all = section.slice(section.indexOf("| figure |"));
  const rows = [...all.matchAll(/^\| (.*) \|$/gm)].slice(2).map(([, row]) => row!.split(" | "));
  return Object.fromEntries(rows.map(([figure, ...cells]) => [figure!, cells.slice(0, -2)]));
}

/** The text of a family on the page, without its marks. Throws Error where the page has no place for it. */
export function familyOn(page: string, family: Family): string {
  const from = page.indexOf(begin(family));
  const to = page.indexOf(END, from);
  if (from < 0 || to < 0) throw new Error(`docs/experiments.md has no place for ${family}`);
  return page.slice(from + begin(family).length, to).trim();
}

/** The sections of a family on the page, by what stands in their first line. */
export function sectionsOn(page: string, family: Family): Map<string, string> {
  const parts = familyOn(page, family).split(/\n\n(?=### )/);
  return new Map(parts.filter((part) => part.startsWith("### ")).map((part) => [titleOf(part), part]));
}

const titleOf = (section: string) => section.slice("### ".length).split("\n")[0]!;

/** A family's text: its sections in the order of the experiments, after the names of those without one. */
export function familyText(
  experiments: ReadonlyMap<string, Experiment>,
  sections: ReadonlyMap<string, string>,
): string {
  const missing = [...experiments].filter(([, { title }]) => !sections.has(title)).map(([name]) => name);
  const there = [...experiments.values()].flatMap(({ title }) => sections.get(title) ?? []);
  return [...(missing.length > 0 ? [`Not run for this page yet: ${missing.join(", ")}.`] : []), ...there].join("\n\n");
}

/** The page with another text for a family. */
export function withFamily(page: string, family: Family, text: string): string {
  const from = page.indexOf(begin(family));
  const to = page.indexOf(END, from);
  return `${page.slice(0, from)}${begin(family)}\n\n${text}\n\n${page.slice(to)}`;
}

/** Which families are on the page, in its order. */
export const familiesOn = (page: string): Family[] =>
  FAMILIES.filter((family) => page.includes(begin(family))).sort(
    (a, b) => page.indexOf(begin(a)) - page.indexOf(begin(b)),
  );
