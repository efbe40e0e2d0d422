/**
 * Runs all seeds of experiments and writes their tables to docs/experiments.md.
 *
 *   bun run experiments                     every family
 *   bun run experiments curriculum          one
 *   bun run experiments curriculum lego     one experiment
 *   bun run experiments curriculum lego 2   shows the figures of one seed as JSON, and writes nothing
 *
 * A family takes minutes. The table of an experiment is written when all of its seeds have run.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Experiment, experimentsOf, FAMILIES, outOfBound, strayFigures } from "./experiment.ts";
import { familyText, type Shown, sectionOf, sectionsOn, shown, withFamily } from "./tables.ts";

const PAGE = join(import.meta.dir, "../../docs/experiments.md");
const say = (text: string) => process.stderr.write(`${text}\n`);

/** All seeds, one after the other. */
async function figures(name: string, experiment: Experiment): Promise<Shown> {
  const { seeds, tested, run, figures } = experiment;
  const found: Record<string, string[]> = {};
  for (const seed of seeds) {
    const began = performance.now();
    const values = await run(seed);
    say(`${name}, seed ${seed}: ${((performance.now() - began) / 1000).toFixed(0)} s`);
    const stray = strayFigures(experiment, Object.keys(values));
    if (stray) throw new Error(`${name}, seed ${seed}: ${stray}`);
    for (const [figure, bound] of Object.entries(figures)) {
      if (!(figure in values)) continue;
      const wrong = outOfBound(values[figure]!, bound);
      if (wrong) say(`  ${figure}: ${wrong}${seed === tested ? ", and this is the seed of the test" : ""}`);
      found[figure] = [...(found[figure] ?? []), shown(values[figure]!)];
    }
  }
  return found;
}

function refuse(problem: string, hint: string): never {
  say(`experiments: ${problem}\n  hint: ${hint}`);
  process.exit(2);
}

const [family, name, seed] = process.argv.slice(2);
const families = FAMILIES.filter((one) => family === undefined || one === family);
if (families.length === 0) refuse(`unknown family ${family}`, `the families are ${FAMILIES.join(", ")}`);
if (seed !== undefined && !/^\d+$/.test(seed)) refuse(`seed ${seed}`, "a seed is a whole number of at least 0");
// Of the scripts that experiments run, as in tests.
process.env.LP_NUM_THREADS ??= "0";
process.env.BUN_JSC_useDFGJIT = "0";
for (const family of families) {
  const known = await experimentsOf(family);
  if (name !== undefined && !known.has(name))
    refuse(`unknown experiment ${name}`, `those of ${family} are ${[...known.keys()].join(", ")}`);
  for (const [each, experiment] of known) {
    if (name !== undefined && name !== each) continue;
    if (seed !== undefined) {
      process.stdout.write(`${JSON.stringify(await experiment.run(Number(seed)))}\n`);
      continue;
    }
    const section = sectionOf(experiment, await figures(each, experiment));
    const page = readFileSync(PAGE, "utf8");
    const sections = sectionsOn(page, family).set(experiment.title, section);
    writeFileSync(PAGE, withFamily(page, family, familyText(known, sections)));
  }
}
process.exit(); // the device holds the process up
