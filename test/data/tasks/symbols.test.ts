/** Addition, LEGO, modular arithmetic, knights and knaves: answers checked by other means than those that made them. */
import { describe, expect, test } from "bun:test";
import { openTask, rowsOf } from "./open-task.ts";

describe("addition", () => {
  test("sums are right to the last digit, fifteen digits included", async () => {
    for (const digits of [1, 3, 15])
      for (const row of rowsOf(await openTask("addition", { digits }), 300)) {
        const [a, b] = String(row.prompt).slice(0, -1).split("+") as [string, string];
        expect(row.prompt).toEndWith("=");
        expect(Math.max(a.length, b.length)).toBeLessThanOrEqual(digits);
        expect(BigInt(row.completion as string)).toBe(BigInt(a) + BigInt(b));
        expect(row.answer).toBe(row.completion);
      }
  });

  test("reversed and padded rows say the same, ones first and in columns", async () => {
    for (const row of rowsOf(await openTask("addition", { digits: 4, pad: true, reversed: true }), 100)) {
      const [a, b] = String(row.prompt).slice(0, -1).split("+") as [string, string];
      expect([a.length, b.length, (row.completion as string).length]).toEqual([4, 4, 5]);
      expect(Number([...(row.completion as string)].reverse().join(""))).toBe(Number(a) + Number(b));
      expect(row.answer).toBe(String(Number(a) + Number(b)));
    }
  });

  test("a scratch pad has every column with its carry, and then the sum, in as many rows as asked for", async () => {
    const rows = rowsOf(await openTask("addition", { digits: 4, vary: true, scratchpad: 0.25 }), 1000);
    const long = rows.filter(({ mode }) => mode === "long");
    expect(Math.abs(long.length - 250)).toBeLessThan(5 * Math.sqrt(1000 * 0.25 * 0.75));
    for (const { mode, completion, answer } of rows) if (mode === "short") expect(completion).toBe(answer);
    for (const { prompt, completion, answer } of long) {
      const [a, b] = String(prompt).slice(0, -1).split("+").map(Number) as [number, number];
      const columns = String(completion).split(";");
      expect(columns.pop()).toBe(`=${answer}`);
      expect(columns.length).toBe(Math.max(String(a).length, String(b).length));
      for (const [place, column] of columns.entries()) {
        const [, x, y, carry, sum] = /^(\d)\+(\d)\+([01])=(\d+)$/.exec(column)!.map(Number);
        expect([x, y]).toEqual([a, b].map((n) => Math.floor(n / 10 ** place) % 10) as [number, number]);
        expect(carry).toBe((a % 10 ** place) + (b % 10 ** place) >= 10 ** place ? 1 : 0);
        expect(sum).toBe(x! + y! + carry!);
      }
    }
    const other = rowsOf(await openTask("addition", { digits: 4, vary: true }), 1000);
    expect(rows.map(({ prompt }) => prompt)).toEqual(other.map(({ prompt }) => prompt));
  });

  test("digit rows ask for each digit in turn, and carries are counted", async () => {
    const rows = rowsOf(await openTask("addition", { form: "digit" }), 90);
    for (const [i, row] of rows.entries()) {
      const [, a, b, place] = /^Input: A = ([\d ]+) \+ ([\d ]+) , A (\d) = \? Output:$/.exec(row.prompt as string)!;
      const [x, y] = [a!, b!].map((text) => Number(text.replaceAll(" ", ""))) as [number, number];
      expect(Number(place)).toBe(i % 3);
      expect(row.completion).toBe(
        ` ${String(x + y)
          .padStart(4, "0")
          .at(-1 - Number(place))}`,
      );
      const carries = [1, 2, 3].filter((n) => (x % 10 ** n) + (y % 10 ** n) >= 10 ** n).length;
      expect(row.difficulty).toBe(carries);
    }
  });

  test("with --vary all lengths are equally frequent", async () => {
    const counts = [0, 0, 0, 0, 0];
    for (const { prompt } of rowsOf(await openTask("addition", { digits: 5, vary: true }), 3000))
      counts[(prompt as string).indexOf("+") - 1]!++;
    for (const count of counts) expect(Math.abs(count - 600)).toBeLessThan(5 * Math.sqrt(3000 * 0.2 * 0.8));
  });

  test("a digit that no sum has is refused", async () => {
    await expect(openTask("addition", { form: "digit", digits: 2, skill: 3 })).rejects.toThrow(
      "--skill 3: sums of 2 digits have digits 0 to 2",
    );
  });
});

/** The value of a LEGO variable by following the clauses, and how many that took. */
function follow(prompt: string): { value: number; steps: number } {
  const [, clauses, asked] = /^Input: (.*) \. Output: (\w) = val$/.exec(prompt)!;
  const rules = new Map(
    clauses!.split(" , ").map((clause) => [clause[0]!, clause.slice(4).split(" ") as [string, string]]),
  );
  let [name, sign, steps] = [asked!, 0, 0];
  for (;;) {
    const [word, source] = rules.get(name)!;
    steps++;
    if (word === "not") sign ^= 1;
    if (source === "0" || source === "1") return { value: Number(source) ^ sign, steps };
    name = source;
  }
}

describe("lego", () => {
  test.each(["path", "tree", "two-paths"])(
    "%s: answers follow from the clauses, depth is their number",
    async (graph) => {
      const rows = rowsOf(await openTask("lego", { graph, chain: 6 }), 300);
      for (const row of rows) {
        const { value, steps } = follow(row.prompt as string);
        expect(row.completion).toBe(` ${value}`);
        expect(row.answer).toBe(String(value));
        expect(row.difficulty).toBe(steps);
      }
      expect(new Set(rows.map(({ difficulty }) => difficulty)).size).toBe({ path: 6, tree: 3, "two-paths": 3 }[graph]!);
    },
  );

  test("skills come in the proportions asked for, and answers are as often 0 as 1", async () => {
    const source = await openTask("lego", { proportions: [1, 1, 1, 3, 5] });
    const rows = rowsOf(source, 4400);
    for (const [skill, share] of Object.entries(source.facts.share_of_skill as Record<string, number>)) {
      const count = rows.filter(({ group }) => group === skill).length;
      expect(Math.abs(count - 4400 * share)).toBeLessThan(5 * Math.sqrt(4400 * share * (1 - share)));
    }
    expect(Math.abs(rows.filter(({ answer }) => answer === "1").length - 2200)).toBeLessThan(5 * Math.sqrt(1100));
  });

  test("one skill alone", async () => {
    for (const { group } of rowsOf(await openTask("lego", { skill: 4 }), 50)) expect(group).toBe("skill 4");
    await expect(openTask("lego", { skill: 6 })).rejects.toThrow("--skill 6 is beyond --chain 5");
    await expect(openTask("lego", { proportions: [0, 0, 0, 0, 0] })).rejects.toThrow(
      "--proportions: expected 5 numbers, not all 0",
    );
  });
});

describe("modular", () => {
  const holds: Record<string, (a: number, b: number, c: number, p: number) => boolean> = {
    add: (a, b, c, p) => (a + b - c) % p === 0,
    subtract: (a, b, c, p) => (c + b - a) % p === 0,
    multiply: (a, b, c, p) => (a * b - c) % p === 0,
    divide: (a, b, c, p) => (b * c - a) % p === 0,
    "square-sum": (a, b, c, p) => (a * a + b * b - c) % p === 0,
  };
  test.each(Object.keys(holds))("%s: the splits share out all pairs, each with the right answer", async (operation) => {
    const p = 23;
    const seen = new Set<string>();
    let count = 0;
    for (const split of ["train", "validation", "test"] as const) {
      const source = await openTask("modular", { modulus: p, operation, split, train_fraction: 0.3 });
      if (split === "train") expect(source.rows).toBe(Math.round((source.facts.pairs as number) * 0.3));
      for (const { a, b, answer, prompt, completion } of rowsOf(source, Number.POSITIVE_INFINITY)) {
        const c = Number(answer);
        expect(holds[operation]!(a as number, b as number, c, p)).toBe(true);
        expect(c >= 0 && c < p).toBe(true);
        expect(completion).toBe(` ${answer}`);
        expect((prompt as string).match(/\d+/g)!.map(Number)).toEqual(
          operation === "square-sum" ? [a as number, 2, b as number, 2, p] : [a as number, b as number, p],
        );
        seen.add(`${a},${b}`);
        count++;
      }
    }
    expect(count).toBe(p * (operation === "divide" ? p - 1 : p));
    expect(seen.size).toBe(count);
  });

  test("division needs a prime", async () => {
    await expect(openTask("modular", { modulus: 91, operation: "divide" })).rejects.toThrow(
      "needs a prime modulus, and 91 is not prime",
    );
  });
});

/** Reads a statement's words back and tells whether it holds; a checker that shares no code with the task. */
function holdsInWords(words: string, knights: ReadonlySet<string>): boolean {
  const tokens = words.replaceAll(",", " ,").split(/\s+/);
  let at = 0;
  const next = (...expected: string[]) => {
    for (const word of expected)
      if (tokens[at++] !== word) throw new Error(`${words}: ${word} expected before word ${at}`);
  };
  const parse = (): boolean => {
    let value: boolean;
    const word = tokens[at]!;
    if (word === "it") {
      next("it", "is", "not", "the", "case", "that");
      return !parse();
    }
    if (word === "both" || word === "either" || word === "if") {
      at++;
      const left = parse();
      next({ both: "and", either: "or", if: "then" }[word]);
      const right = parse();
      if (word === "either") next(",", "or", "both");
      return word === "both" ? left && right : word === "either" ? left || right : !left || right;
    }
    at += 3;
    value = knights.has(word) === (tokens[at++] === "knight");
    if (tokens[at] === "if" && tokens[at + 1] === "and") {
      next("if", "and", "only", "if");
      value = value === parse();
    }
    return value;
  };
  const value = parse();
  if (at !== tokens.length) throw new Error(`${words}: words left over`);
  return value;
}

/** Who says what in a puzzle. Names keep their capital, other words lose it. */
const sayings = (prompt: string) =>
  [...prompt.matchAll(/(\w+) says: "(\w)([^"]*)\."/g)].map(([, speaker, first, rest]) => {
    const whole = `${first}${rest}`;
    const isName = !/^(It|Both|Either|If)\b/.test(whole);
    return { speaker: speaker!, words: isName ? whole : whole[0]!.toLowerCase() + whole.slice(1) };
  });

describe("knights", () => {
  test.each([2, 3, 5])("%d people: the words have exactly one solution, the stated one", async (people) => {
    for (const row of rowsOf(await openTask("knights", { people }), 150)) {
      const said = sayings(row.prompt as string);
      const names = said.map(({ speaker }) => speaker);
      expect(names.length).toBe(people);
      const solutions: string[] = [];
      for (let roles = 0; roles < 2 ** people; roles++) {
        const knights = new Set(names.filter((_, i) => (roles >> i) & 1));
        if (said.every(({ speaker, words }) => holdsInWords(words, knights) === knights.has(speaker)))
          solutions.push(names.map((name) => `${name} is a ${knights.has(name) ? "knight" : "knave"}`).join(", "));
      }
      expect(solutions).toEqual([row.answer as string]);
      expect(row.completion).toBe(` ${row.answer}`);
      expect(row.solution).toEqual(names.map((name) => (row.answer as string).includes(`${name} is a knight`)));
    }
  });

  test("a trace takes back what no way to go on would save, and ends with the answer", async () => {
    for (const row of rowsOf(await openTask("knights", { people: 4, trace: true }), 60)) {
      const said = sayings(row.prompt as string);
      const [search, answer] = (row.completion as string).split(" So ");
      const supposed: [string, boolean][] = [];
      for (const [, name, role, liar] of search!.matchAll(
        /Suppose (\w+) is a (knight|knave)\.|No, (\w+) would not say that\./g,
      )) {
        if (liar === undefined) {
          const before = supposed.findIndex(([other]) => other === name);
          if (before >= 0) {
            expect([supposed[before]![1], role]).toEqual([true, "knave"]);
            supposed.splice(before);
          }
          supposed.push([name!, role === "knight"]);
          continue;
        }
        const { words } = said.find(({ speaker }) => speaker === liar)!;
        const open = said.map(({ speaker }) => speaker).slice(supposed.length);
        for (let roles = 0; roles < 2 ** open.length; roles++) {
          const rest = open.map((speaker, i): [string, boolean] => [speaker, ((roles >> i) & 1) === 1]);
          const knights = new Set(
            [...supposed, ...rest].filter(([, isKnight]) => isKnight).map(([speaker]) => speaker),
          );
          expect(holdsInWords(words, knights)).toBe(!knights.has(liar));
        }
      }
      expect(answer).toBe(row.answer as string);
      expect(supposed.map(([, isKnight]) => isKnight)).toEqual(row.solution as boolean[]);
    }
  });
});
