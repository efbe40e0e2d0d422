/**
 * Knights and knaves: everyone on an island is a knight, who always speaks the truth, or a knave, who always lies. Each
 * says one thing; who is what? Only puzzles with exactly one solution are kept; all 2^n are tried.
 *
 * Xie et al. 2024, with the statements as nested lists in their notation: ["telling-truth", i], ["lying", i], ["not",
 * s], ["and" | "or", s, t], ["->" | "<=>", s, t]. With a trace the answer comes behind a search that supposes, meets
 * contradictions and turns back, which models learn to reason from before they meet other tasks (arXiv:2505.13718).
 */
import { Random } from "../random.ts";
import { drawInSplit, task } from "../task.ts";

type Statement =
  | readonly ["telling-truth" | "lying", number]
  | readonly ["not", Statement]
  | readonly ["and" | "or" | "->" | "<=>", Statement, Statement];

const NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "June", "Kit", "Lena"];

/** What person `speaker` says; `depth` bounds the nesting. */
function drawStatement(random: Random, people: number, speaker: number, depth: number): Statement {
  const kind = depth <= 1 ? 0 : random.below(6);
  if (kind === 0) {
    if (random.below(2) === 0) return ["telling-truth", random.below(people)];
    return ["lying", (speaker + 1 + random.below(people - 1)) % people]; // a knave cannot call himself one
  }
  const part = () => drawStatement(random, people, speaker, depth - 1);
  if (kind === 1) return ["not", part()];
  if (kind <= 3) return [random.below(2) === 0 ? "and" : "or", part(), part()];
  return [kind === 4 ? "->" : "<=>", part(), part()];
}

/** Whether a statement holds when bit i of `roles` says that person i is a knight. */
function holds(statement: Statement, roles: number): boolean {
  switch (statement[0]) {
    case "telling-truth":
      return ((roles >> statement[1]) & 1) === 1;
    case "lying":
      return ((roles >> statement[1]) & 1) === 0;
    case "not":
      return !holds(statement[1], roles);
    case "and":
      return holds(statement[1], roles) && holds(statement[2], roles);
    case "or":
      return holds(statement[1], roles) || holds(statement[2], roles);
    case "->":
      return !holds(statement[1], roles) || holds(statement[2], roles);
    case "<=>":
      return holds(statement[1], roles) === holds(statement[2], roles);
  }
}

/**
 * The roles under which everyone's statement holds exactly if that person is a knight; undefined unless there is one
 * such.
 */
function onlySolution(statements: readonly Statement[]): number | undefined {
  let found: number | undefined;
  for (let roles = 0; roles < 2 ** statements.length; roles++) {
    if (!statements.every((statement, i) => holds(statement, roles) === (((roles >> i) & 1) === 1))) continue;
    if (found !== undefined) return undefined;
    found = roles;
  }
  return found;
}

/** Kleene's or and not: undefined where the known sides do not decide. */
const or = (a: boolean | undefined, b: boolean | undefined) =>
  a || b ? true : a === false && b === false ? false : undefined;
const not = (a: boolean | undefined) => (a === undefined ? undefined : !a);

/** Whether a statement holds while some roles are open; undefined where that hangs on one of them. */
function holdsSoFar(statement: Statement, roles: readonly boolean[]): boolean | undefined {
  switch (statement[0]) {
    case "telling-truth":
      return roles[statement[1]];
    case "lying":
      return not(roles[statement[1]]);
    case "not":
      return not(holdsSoFar(statement[1], roles));
  }
  const [a, b] = [holdsSoFar(statement[1], roles), holdsSoFar(statement[2], roles)];
  if (statement[0] === "or") return or(a, b);
  if (statement[0] === "and") return not(or(not(a), not(b)));
  if (statement[0] === "->") return or(not(a), b);
  return a === undefined || b === undefined ? undefined : a === b;
}

/**
 * The search for the roles in words: one person after the other is supposed a knight, then a knave; what somebody says
 * against his role takes the last supposition back.
 */
function traceOf(statements: readonly Statement[], names: readonly string[]): string {
  const said: string[] = [];
  const extend = (roles: readonly boolean[]): boolean => {
    const liar = roles.findIndex((role, i) => (holdsSoFar(statements[i]!, roles) ?? role) !== role);
    if (liar >= 0) said.push(`No, ${names[liar]} would not say that.`);
    if (liar >= 0 || roles.length === names.length) return liar < 0;
    return [true, false].some((role) => {
      said.push(`Suppose ${names[roles.length]} is a ${role ? "knight" : "knave"}.`);
      return extend([...roles, role]);
    });
  };
  extend([]);
  return said.join(" ");
}

/** A statement in words, without capital or full stop. */
function inWords(statement: Statement, names: readonly string[]): string {
  switch (statement[0]) {
    case "telling-truth":
      return `${names[statement[1]]} is a knight`;
    case "lying":
      return `${names[statement[1]]} is a knave`;
    case "not":
      return `it is not the case that ${inWords(statement[1], names)}`;
    case "and":
      return `both ${inWords(statement[1], names)} and ${inWords(statement[2], names)}`;
    case "or":
      return `either ${inWords(statement[1], names)} or ${inWords(statement[2], names)}, or both`;
    case "->":
      return `if ${inWords(statement[1], names)} then ${inWords(statement[2], names)}`;
    case "<=>":
      return `${inWords(statement[1], names)} if and only if ${inWords(statement[2], names)}`;
  }
}

const capital = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}`;

export const method = task({
  name: "knights",
  title: "Knights and knaves",
  about: "logic puzzles with exactly one solution, which is the completion",
  cite: "arXiv:2410.23123",
  splits: "by a hash of the statements, whatever the names and the seed: no puzzle occurs in two splits",
  options: {
    people: { type: "2 <= number.integer <= 12", default: 3, help: "people on the island" },
    depth: {
      type: "1 <= number.integer <= 4",
      default: 2,
      help: "how deep statements are nested; 1: about one person each",
    },
    trace: {
      type: "boolean",
      default: false,
      help: "write the search with its suppositions and contradictions before the answer",
    },
  },

  laws: {
    apart: true,
    distinctRows: "rows are drawn one by one, so a puzzle may come twice",
    answered: true,
    endless: true,
  },
  content: ({ statements }) => JSON.stringify(statements),
  trials: [{}, { people: 2 }, { people: 5, depth: 3 }, { trace: true }],

  open({ seed, split }, { people, depth, trace }) {
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { people, depth, chance: 2 ** -people },
      row(index) {
        const random = new Random(seed, "knights", split, index);
        const { statements, roles } = drawInSplit(
          random,
          split,
          () => {
            const statements = Array.from({ length: people }, (_, i) => drawStatement(random, people, i, depth));
            return { statements, roles: onlySolution(statements) };
          },
          (drawn) => (drawn.roles === undefined ? undefined : JSON.stringify(drawn.statements)),
        );
        const names = random.shuffled(NAMES).slice(0, people);
        const solution = names.map((_, i) => ((roles! >> i) & 1) === 1);
        const said = statements.map((statement, i) => `${names[i]} says: "${capital(inWords(statement, names))}."`);
        const answer = names.map((name, i) => `${name} is a ${solution[i] ? "knight" : "knave"}`).join(", ");
        return {
          prompt: `Knights always tell the truth and knaves always lie. ${said.join(" ")} Who is a knight and who is a knave? Answer:`,
          completion: trace ? ` ${traceOf(statements, names)} So ${answer}` : ` ${answer}`,
          answer,
          group: `${people} people`,
          difficulty: people,
          names,
          statements,
          solution,
        };
      },
    };
  },
});
