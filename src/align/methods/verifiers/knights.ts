/**
 * Roles of knights and knaves: 1 where the answer gives everyone the right role. Xie et al. 2025 (Logic-RL),
 * https://arxiv.org/abs/2502.14768
 *
 * The last thing that is said of a person counts, so that an answer may think first. The right roles are the row's
 * `names` and `solution`, as `data knights` writes them, else what its answer says.
 */
import { type Answered, defineVerifier, each } from "../../verifying/contract.ts";
import { behind, truthsOf } from "../../verifying/truth.ts";

const ROLE = /\b([\p{L}][\p{L}'-]{0,63})\s+is\s+(not\s+)?an?\s+(knight|knave)\b/giu;

/** Who is a knight, by what a text says last of each person. */
const rolesIn = (text: string): Map<string, boolean> =>
  new Map(
    [...text.matchAll(ROLE)].map(([, name, not, role]) => [
      name!.toLowerCase(),
      (role!.toLowerCase() === "knight") === (not === undefined),
    ]),
  );

/** The right roles of a row; undefined where it has none. */
function solutionOf(answered: Answered): ReadonlyMap<string, boolean> | undefined {
  const { names, solution } = answered.row.extra;
  if (Array.isArray(names) && Array.isArray(solution) && names.length === solution.length && names.length > 0)
    return new Map(names.map((name, i) => [String(name).toLowerCase(), solution[i] === true]));
  return truthsOf(answered)
    .map(rolesIn)
    .find(({ size }) => size > 0);
}

export const method = defineVerifier({
  name: "knights",
  title: "Knights and knaves",
  about: "1 where everyone has the right role in a puzzle of data knights, or the share of those who have",
  cite: "arXiv:2502.14768",
  laws: { alone: true, truth: true, range: true },
  range: [0, 1],
  options: {
    partial: { type: "boolean", default: false, help: "the share of the people whose role is right" },
    after: { type: "string", value: "MARK", help: "read what stands behind the last of this" },
  },
  make: ({ values: { partial, after } }) =>
    each((answered) => {
      const wanted = solutionOf(answered);
      if (wanted === undefined) return null;
      const said = rolesIn(behind(answered.answer, after) ?? "");
      const right = [...wanted].filter(([name, isKnight]) => said.get(name) === isKnight).length;
      return partial ? right / wanted.size : right === wanted.size ? 1 : 0;
    }),
});
