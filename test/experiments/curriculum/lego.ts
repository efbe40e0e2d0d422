import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Split } from "../../../src/data/task.ts";
import { method as addition } from "../../../src/data/tasks/addition.ts";
import { method as lego } from "../../../src/data/tasks/lego.ts";
import { all, decoder, inLab, type Row, rowOf } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";

// 0 to 9 are digits, 10 to 35 letters.
const VAL = 36;
const NOT = 37;
const WHICH = 38;
const DIGIT = 39;
const letter = (name: string) => 10 + name.charCodeAt(0) - 97;
const token = (word: string) =>
  /^\d$/.test(word) ? Number(word) : word === "val" ? VAL : word === "not" ? NOT : letter(word);

interface Drawn {
  readonly prompt: string;
  readonly answer: string;
}
const drawn = (source: { row(index: number): unknown }, count: number) =>
  Array.from({ length: count }, (_, i) => source.row(i) as Drawn);
const answered = (ids: readonly number[]): Row => rowOf(ids, ids.length - 1);

/** "Input: b = val 1 , a = not b . Output: a = val" is b val 1 a not b WHICH a. */
function legoRows(skill: number, count: number, split: Split, seed: number): Row[] {
  const source = lego.open({ seed, split }, { chain: 2, graph: "path", skill, proportions: [] });
  return drawn(source, count).map(({ prompt, answer }) => {
    const [clauses, asked] = prompt.slice("Input: ".length).split(" . Output: ") as [string, string];
    const words = clauses.split(" , ").flatMap((clause) => clause.split(" ").filter((word) => word !== "="));
    return answered([...words.map(token), WHICH, letter(asked), Number(answer)]);
  });
}

/** "Input: A = 8 + 5 , A 1 = ? Output:" is 8 5 DIGIT+1. */
function additionRows(skill: number, count: number, split: Split, seed: number): Row[] {
  const values = { digits: 1, vary: false, pad: false, reversed: false, scratchpad: 0, form: "digit", skill } as const;
  return drawn(addition.open({ seed, split }, values), count).map(({ prompt, answer }) => {
    const [, a, b] = /= (\d) \+ (\d) ,/.exec(prompt)!;
    return answered([Number(a), Number(b), DIGIT + skill, Number(answer)]);
  });
}

/** The second variable helps the first, the carry the ones. */
const GRAPH = [
  [1, 0, 0, 0],
  [0.5, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0.5, 1],
];

export const experiment = experimentOf({
  title: "`skill-it` and `aioli` on LEGO chains and addition",
  about: `Four skills, a token a word: the first and the second variable of a chain of two, the ones and the carry of a sum of two
digits. A decoder of one layer, 160 steps of 32 rows. \`skill-it\` has the published graph. Mean held-out loss of the skills; half of the
steps of \`aioli\` are probes, so nothing is asserted of it at this length. The test takes the seed with the widest gap.`,
  seeds: [1, 2, 3, 4, 5, 6, 7],
  tested: 3,
  long: true,
  figures: { "an even mixture": {}, "skill-it − even": { below: -0.18 }, "aioli − even": {} },
  run: (seed) =>
    inLab(async (lab) => {
      writeFileSync(join(lab.folder, "graph.json"), JSON.stringify(GRAPH));
      // Sums of two digits are too few to hold some back: they are learnt as a table.
      const rows = (count: number, split: Split, from: number) => ({
        first: legoRows(1, count, split, from + 1),
        second: legoRows(2, count, split, from + 2),
        ones: additionRows(0, count, "train", from),
        carry: additionRows(1, count, "train", from + 1),
      });
      const data = lab.groups(rows(3000, "train", 100 * seed), rows(100, "validation", 100 * seed + 50));
      const config = lab.fresh(decoder({ hidden_size: 32, intermediate_size: 64, vocab_size: 44 }));
      const line = `${config} ${data} --steps 160 --batch-size 32 --lr 0.01 --warmup 30 --clip 1 --seed ${seed}`;
      const after = async (method: string) => all((await lab.run(`${line} --method ${method}`)).losses);
      const even = await after("stratified");
      return {
        "an even mixture": even,
        "skill-it − even": (await after("skill-it --graph graph.json --round 0.1 --every 4")) - even,
        "aioli − even": (await after("aioli --round 64 --passes 2")) - even,
      };
    }),
});
