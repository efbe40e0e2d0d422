/**
 * Regular expressions from files, matched without backtracking: all ways through the pattern are followed at once, so
 * that time grows with the length of the pattern times that of the text, whatever the pattern is.
 *
 * Thompson 1968, "Regular expression search algorithm"; the machine is that of Pike without captures. The syntax is in
 * parse.ts.
 */
import { UserError } from "../../errors.ts";
import { isWord, type PatternNode, parsePattern } from "./parse.ts";

type Step =
  | { readonly op: "character"; readonly test: (code: number) => boolean }
  | { readonly op: "split"; next: readonly number[] }
  | { readonly op: "place"; readonly place: "start" | "end" | "boundary" | "inside" }
  | { readonly op: "ahead"; readonly steps: readonly Step[]; readonly negative: boolean }
  | { readonly op: "match" };

/** Counted repetitions are written out: no pattern of a real config comes near. */
const MOST_STEPS = 5000;

/** Work that a pattern may cause in all, in visits of steps; a real one takes some thousands per name. */
const MOST_VISITS = 10_000_000;

/** A pattern, ready to match. */
export interface Pattern {
  readonly text: string;
  /** Whether all of `text` matches, as Python's `re.fullmatch`. */
  matches(text: string): boolean;
  /** Whether `text` or what stands after one of its dots matches: how PEFT compares patterns with module names. */
  matchesEnd(text: string): boolean;
}

/** Work left to patterns that are used together. Throws UserError when it is used up. */
export class PatternBudget {
  #left = MOST_VISITS;

  spend(visits: number, pattern: string): void {
    this.#left -= visits;
    if (this.#left >= 0) return;
    throw new UserError(
      `the pattern ${JSON.stringify(pattern.slice(0, 60))} takes too long to match`,
      "name the modules in full, or write a shorter pattern",
    );
  }
}

/**
 * Compiles a pattern of Python's syntax. Throws UserError when it is invalid, uses what is not known here, or is too
 * large once written out.
 */
export function compilePattern(text: string, budget = new PatternBudget()): Pattern {
  const tree = parsePattern(text);
  const plain = plainTests(tree);
  if (plain !== undefined) return plainPattern(text, plain, budget);
  const whole = new Compiler(text).program(tree);
  const any: PatternNode = { kind: "character", test: (code) => code !== 10 };
  const before: PatternNode = {
    kind: "sequence",
    items: [
      { kind: "repeat", item: any, least: 0, most: Number.POSITIVE_INFINITY },
      { kind: "character", test: (code) => code === 46 },
    ],
  };
  const optional: PatternNode = { kind: "repeat", item: before, least: 0, most: 1 };
  const end = new Compiler(text).program({ kind: "sequence", items: [optional, tree] });
  const run = (steps: readonly Step[], subject: string) => {
    const codes = Array.from(subject, (point) => point.codePointAt(0)!);
    return new Machine(text, codes, budget).matches(steps, 0, true);
  };
  return { text, matches: (subject) => run(whole, subject), matchesEnd: (subject) => run(end, subject) };
}

/** The tests of a pattern that takes one character after the other, as module names written in full do. */
function plainTests(tree: PatternNode): ((code: number) => boolean)[] | undefined {
  const items = tree.kind === "sequence" ? tree.items : [tree];
  const tests = items.flatMap((item) => (item.kind === "character" ? [item.test] : []));
  return tests.length === items.length ? tests : undefined;
}

/** Compared in place: an adapter may name some thousand modules in full. */
function plainPattern(text: string, tests: readonly ((code: number) => boolean)[], budget: PatternBudget): Pattern {
  const from = (codes: readonly number[], start: number) => {
    budget.spend(1, text);
    return start >= 0 && tests.every((test, i) => test(codes[start + i]!));
  };
  const codesOf = (subject: string) => Array.from(subject, (point) => point.codePointAt(0)!);
  return {
    text,
    matches: (subject) => {
      const codes = codesOf(subject);
      return codes.length === tests.length && from(codes, 0);
    },
    matchesEnd: (subject) => {
      const codes = codesOf(subject);
      const start = codes.length - tests.length;
      return (start === 0 || codes[start - 1] === 46) && from(codes, start);
    },
  };
}

class Compiler {
  readonly #text: string;
  #nodes = 0;

  constructor(text: string) {
    this.#text = text;
  }

  program(tree: PatternNode): Step[] {
    const steps: Step[] = [];
    this.#emit(tree, steps);
    steps.push({ op: "match" });
    return steps;
  }

  #emit(node: PatternNode, steps: Step[]): void {
    if (++this.#nodes > MOST_STEPS) {
      throw new UserError(
        `the pattern ${JSON.stringify(this.#text.slice(0, 60))} is too large once its repetitions are written out`,
        "count lower, or use * and +",
      );
    }
    switch (node.kind) {
      case "character":
        steps.push({ op: "character", test: node.test });
        return;
      case "place":
        steps.push({ op: "place", place: node.place });
        return;
      case "ahead": {
        const inner: Step[] = [];
        this.#emit(node.item, inner);
        inner.push({ op: "match" });
        steps.push({ op: "ahead", steps: inner, negative: node.negative });
        return;
      }
      case "sequence":
        for (const item of node.items) this.#emit(item, steps);
        return;
      case "choice":
        this.#choice(node.options, steps);
        return;
      case "repeat":
        this.#repeat(node.item, node.least, node.most, steps);
    }
  }

  #choice(options: readonly PatternNode[], steps: Step[]): void {
    const fork: Step = { op: "split", next: [] };
    steps.push(fork);
    const starts: number[] = [];
    const ends: Extract<Step, { op: "split" }>[] = [];
    for (const option of options) {
      starts.push(steps.length);
      this.#emit(option, steps);
      const leave = { op: "split" as const, next: [] as number[] };
      ends.push(leave);
      steps.push(leave);
    }
    fork.next = starts;
    for (const leave of ends) leave.next = [steps.length];
  }

  #repeat(item: PatternNode, least: number, most: number, steps: Step[]): void {
    for (let n = 0; n < least; n++) this.#emit(item, steps);
    if (most === Number.POSITIVE_INFINITY) {
      const fork: Step = { op: "split", next: [] };
      const start = steps.push(fork) - 1;
      this.#emit(item, steps);
      steps.push({ op: "split", next: [start] });
      fork.next = [start + 1, steps.length];
      return;
    }
    const forks: { at: number; fork: Extract<Step, { op: "split" }> }[] = [];
    for (let n = least; n < most; n++) {
      const fork = { op: "split" as const, next: [] as number[] };
      forks.push({ at: steps.push(fork), fork });
      this.#emit(item, steps);
    }
    for (const { at, fork } of forks) fork.next = [at, steps.length];
  }
}

/** One text, followed along all ways at once. */
class Machine {
  readonly #text: string;
  readonly #codes: readonly number[];
  readonly #budget: PatternBudget;

  constructor(text: string, codes: readonly number[], budget: PatternBudget) {
    this.#text = text;
    this.#codes = codes;
    this.#budget = budget;
  }

  /** Whether `steps` match from `start` on: to the end of the text with `whole`, else to anywhere. */
  matches(steps: readonly Step[], start: number, whole: boolean): boolean {
    const seen = new Uint32Array(steps.length);
    let now = this.#follow([0], start, steps, seen, 1);
    for (let at = start; ; at++) {
      if (now.matched && (!whole || at === this.#codes.length)) return true;
      if (at === this.#codes.length || now.waiting.length === 0) return false;
      const code = this.#codes[at]!;
      const next: number[] = [];
      for (const step of now.waiting) {
        const { test } = steps[step] as Extract<Step, { op: "character" }>;
        if (test(code)) next.push(step + 1);
      }
      now = this.#follow(next, at + 1, steps, seen, at - start + 2);
    }
  }

  /** Every step that waits for a character, reached from `from` without taking one. */
  #follow(from: number[], at: number, steps: readonly Step[], seen: Uint32Array, mark: number) {
    const waiting: number[] = [];
    let matched = false;
    const open = from;
    let visits = 1;
    while (open.length > 0) {
      const index = open.pop()!;
      if (seen[index] === mark) continue;
      seen[index] = mark;
      visits++;
      const step = steps[index]!;
      if (step.op === "character") waiting.push(index);
      else if (step.op === "match") matched = true;
      else if (step.op === "split") open.push(...step.next);
      else if (step.op === "place" ? this.#isAt(step.place, at) : this.#looks(step, at)) open.push(index + 1);
    }
    this.#budget.spend(visits, this.#text);
    return { waiting, matched };
  }

  #looks({ steps, negative }: Extract<Step, { op: "ahead" }>, at: number): boolean {
    return this.matches(steps, at, false) !== negative;
  }

  #isAt(place: "start" | "end" | "boundary" | "inside", at: number): boolean {
    if (place === "start") return at === 0;
    if (place === "end") return at === this.#codes.length;
    const word = (index: number) => index >= 0 && index < this.#codes.length && isWord(this.#codes[index]!);
    return (word(at - 1) !== word(at)) === (place === "boundary");
  }
}
