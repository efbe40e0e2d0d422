/**
 * LEGO: chains of signed assignments, "a = val 1 , b = not a , c = val b", given in random order; the value of one
 * variable is asked. A variable at depth s can only be found through those before it, so depth s is a skill that builds
 * on s - 1.
 *
 * Zhang et al. 2022, in the form of Skill-it (Chen et al. 2023, arXiv:2307.14430). Chance is one half.
 */
import { UserError } from "../../errors.ts";
import { Random } from "../random.ts";
import { drawInSplit, task } from "../task.ts";

const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"];

type Graph = "path" | "tree" | "two-paths";

/** Which variable the clause of variable i refers to; undefined for a root. */
function parentOf(graph: Graph, i: number): number | undefined {
  if (i === 0 || (graph === "two-paths" && i === 1)) return undefined;
  return graph === "path" ? i - 1 : graph === "tree" ? Math.floor((i - 1) / 2) : i - 2;
}

/** How many clauses lead to the value of variable i, its own included. */
function depthOf(graph: Graph, i: number): number {
  const parent = parentOf(graph, i);
  return parent === undefined ? 1 : 1 + depthOf(graph, parent);
}

export const method = task({
  name: "lego",
  title: "LEGO skill chains",
  about: "values of variables in shuffled chains of signed assignments; each depth is a skill",
  cite: "arXiv:2206.04301",
  splits:
    "by a hash of the set of clauses, whatever their order and the seed: no set of assignments occurs in two splits",
  options: {
    chain: { type: "1 <= number.integer <= 26", default: 5, help: "variables, so also skills" },
    graph: {
      type: "'path' | 'tree' | 'two-paths'",
      default: "path",
      help: "what a variable refers to: the one before, its parent in a binary tree, the one two before",
    },
    skill: {
      type: "0 <= number.integer <= 26",
      default: 0,
      help: "variable asked for, counted from the first; 0 draws it",
    },
    proportions: {
      type: "(number >= 0)[]",
      default: [],
      help: "how often each skill is drawn; equal if left out, published: 1,1,1,3,5",
    },
  },

  laws: {
    apart: true,
    distinctRows: "rows are drawn one by one, so a set of clauses may come twice",
    answered: true,
    endless: true,
  },
  content: ({ prompt }) => String(prompt).slice(7, String(prompt).indexOf(" . ")).split(" , ").sort().join(),
  trials: [{}, { chain: 1 }, { chain: 7, graph: "tree" }, { graph: "two-paths", proportions: [1, 1, 1, 3, 5] }],

  open({ seed, split }, { chain, graph, skill, proportions }) {
    if (skill > chain)
      throw new UserError(`--skill ${skill} is beyond --chain ${chain}`, "the last skill is the chain's length");
    const weights = proportions.length > 0 ? proportions : Array.from({ length: chain }, () => 1);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    if (weights.length !== chain || !(total > 0))
      throw new UserError(
        `--proportions: expected ${chain} numbers, not all 0, but found ${weights.join(",")}`,
        "one for each variable of the chain",
      );
    const shares = weights.map((weight, i) => (skill === 0 ? weight / total : Number(i === skill - 1)));
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: {
        share_of_skill: Object.fromEntries(shares.map((share, i) => [`skill ${i + 1}`, share])),
        depth_of_skill: Object.fromEntries(shares.map((_, i) => [`skill ${i + 1}`, depthOf(graph, i)])),
        chance: 0.5,
      },
      row(index) {
        const random = new Random(seed, "lego", split, index);
        const asked = random.weighted(shares);
        const { names, bits, clauses } = drawInSplit(
          random,
          split,
          () => {
            const names = random.shuffled(LETTERS).slice(0, chain);
            const bits = names.map(() => random.below(2));
            const clauses = names.map((name, i) => {
              const parent = parentOf(graph, i);
              if (parent === undefined) return `${name} = val ${bits[i]}`;
              return `${name} = ${bits[i] === bits[parent] ? "val" : "not"} ${names[parent]}`;
            });
            return { names, bits, clauses };
          },
          (drawn) => [...drawn.clauses].sort().join(","),
        );
        const answer = String(bits[asked]);
        return {
          prompt: `Input: ${random.shuffled(clauses).join(" , ")} . Output: ${names[asked]} = val`,
          completion: ` ${answer}`,
          answer,
          group: `skill ${asked + 1}`,
          difficulty: depthOf(graph, asked),
        };
      },
    };
  },
});
