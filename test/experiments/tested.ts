/**
 * Tests of a family of experiments: one seed of each, every bound asserted. An experiment has a process of its own, as
 * commands in tests have (.env.test).
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { experimentsOf, type Family, outOfBound, strayFigures } from "./experiment.ts";

/** The figures of one seed, by the command. */
async function figuresOf(family: Family, name: string, seed: number): Promise<Record<string, number>> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "run.ts"), family, name, `${seed}`], {
    env: { ...process.env, BUN_JSC_useDFGJIT: "1" }, // some train in JavaScript
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${family} ${name}: ended with code ${code}\n${err}`);
  return JSON.parse(out);
}

/** One test for each experiment of the family. */
export async function testFamily(family: Family): Promise<void> {
  for (const [name, experiment] of await experimentsOf(family)) {
    const { figures, tested, title, long } = experiment;
    test.if(!long || process.env.INGOT_TEST_LONG === "1")(
      `${name}: ${title}`,
      async () => {
        const found = await figuresOf(family, name, tested);
        expect(strayFigures(experiment, Object.keys(found))).toBeUndefined();
        const wrong = Object.entries(found).flatMap(([figure, value]) => {
          const problem = outOfBound(value, figures[figure]!);
          return problem === undefined ? [] : [`${figure}: ${problem}`];
        });
        expect(wrong).toEqual([]);
      },
      900_000, // of a machine with much else to do
    );
  }
}
