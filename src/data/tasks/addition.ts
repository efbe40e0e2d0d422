/**
 * Addition of whole numbers: the whole sum, or one digit of it as a separate skill.
 *
 * `sum` rows are prompt "12+345=" and completion "357", reversed (ones first) on request, which lets a decoder carry
 * as it writes (Lee et al. 2023), or with its columns before it, as on scratch paper (Nye et al. 2021,
 * arXiv:2112.00114): "12+9=" is "2+9+0=11;1+0+1=2;=21", where the third number of a column is what the column before
 * it carries. `digit` rows ask for one digit of the sum, the skills of Chen et al. 2023 (Skill-it, arXiv:2307.14430),
 * where the digit to the left depends on the carry from the right.
 */
import { UserError } from "../../errors.ts";
import { Random } from "../random.ts";
import { drawInSplit, task } from "../task.ts";

/**
 * A whole number of at most so many digits, all equally likely; with `vary` each number of digits is equally likely.
 */
function operand(random: Random, digits: number, vary: boolean): number {
  const count = vary ? 1 + random.below(digits) : digits;
  let value = 0;
  for (let i = 0; i < count; i++)
    value = value * 10 + (vary && i === 0 && count > 1 ? 1 + random.below(9) : random.below(10));
  return value;
}

/** How often a column of a + b carries into the next. */
function carriesOf(a: number, b: number): number {
  let carries = 0;
  for (let carry = 0, x = a, y = b; x > 0 || y > 0; x = Math.floor(x / 10), y = Math.floor(y / 10)) {
    carry = (x % 10) + (y % 10) + carry > 9 ? 1 : 0;
    carries += carry;
  }
  return carries;
}

/** The columns of a + b from the ones on, each digit + digit + carry, as many as the longer operand has digits. */
function columnsOf(a: number, b: number): string {
  const digits = [a, b].map((value) => [...String(value)].reverse().map(Number));
  const lines: string[] = [];
  for (let place = 0, carry = 0; place < Math.max(digits[0]!.length, digits[1]!.length); place++) {
    const [x, y] = [digits[0]![place] ?? 0, digits[1]![place] ?? 0];
    lines.push(`${x}+${y}+${carry}=${x + y + carry};`);
    carry = x + y + carry > 9 ? 1 : 0;
  }
  return lines.join("");
}

const reversed = (text: string): string => [...text].reverse().join("");

export const method = task({
  name: "addition",
  title: "Digit addition",
  about: "sums of two numbers as prompt and completion, whole or digit by digit",
  cite: "arXiv:2307.03381",
  splits: "by a hash of the two operands, whatever their order and the seed: no pair occurs in two splits",
  options: {
    digits: { type: "1 <= number.integer <= 15", default: 3, help: "most digits of an operand" },
    vary: { type: "boolean", default: false, help: "all numbers of digits equally often, not all numbers" },
    pad: {
      type: "boolean",
      default: false,
      help: "write operands and sum with leading zeros, so that columns line up; --form sum only",
    },
    reversed: { type: "boolean", default: false, help: "write the sum ones first; --form sum only" },
    scratchpad: {
      type: "0 <= number <= 1",
      default: 0,
      help: "share of rows whose completion has the columns with their carries before the sum; --form sum only",
    },
    form: { type: "'sum' | 'digit'", default: "sum", help: "ask for the sum, or for one of its digits" },
    skill: {
      type: "-1 <= number.integer <= 15",
      default: -1,
      help: "digit to ask for, 0 for the ones; -1 takes them in turn; --form digit only",
    },
  },

  laws: {
    apart: true,
    distinctRows: "rows are drawn one by one, so a pair may come twice",
    answered: true,
    endless: true,
  },
  content: ({ prompt }) =>
    String(prompt)
      .replace(/, A \d+ = \?/, "")
      .match(/\d[\d ]*/g)!
      .map((n) => Number(n.replaceAll(" ", "")))
      .sort((a, b) => a - b)
      .join(),
  trials: [
    {},
    { digits: 1 },
    { digits: 6, vary: true, pad: true, reversed: true },
    { scratchpad: 0.5 },
    { form: "digit" },
  ],

  open({ seed, split }, { digits, vary, pad, reversed: backwards, scratchpad, form, skill }) {
    if (skill > digits)
      throw new UserError(
        `--skill ${skill}: sums of ${digits} digits have digits 0 to ${digits}`,
        "raise --digits, or ask for less",
      );
    const spaced = (value: number) => [...String(value).padStart(digits, "0")].join(" ");
    return {
      rows: Number.POSITIVE_INFINITY,
      facts: { most_digits: digits, order: backwards ? "ones first" : "as written" },
      row(index) {
        const { a, b } = drawInSplit(
          new Random(seed, "addition", split, index),
          split,
          (random) => ({ a: operand(random, digits, vary), b: operand(random, digits, vary) }),
          (pair) => `${Math.min(pair.a, pair.b)}+${Math.max(pair.a, pair.b)}`,
        );
        const sum = String(a + b);
        const difficulty = carriesOf(a, b);
        if (form === "digit") {
          const place = skill < 0 ? index % digits : skill;
          const digit = Math.floor((a + b) / 10 ** place) % 10;
          const prompt = `Input: A = ${spaced(a)} + ${spaced(b)} , A ${place} = ? Output:`;
          return { prompt, completion: ` ${digit}`, answer: String(digit), group: `digit ${place}`, difficulty };
        }
        const width = (value: number, most: number) => (pad ? String(value).padStart(most, "0") : String(value));
        const written = width(a + b, digits + 1);
        const total = backwards ? reversed(written) : written;
        const isLong = new Random(seed, "addition-scratchpad", split, index).uniform() < scratchpad;
        return {
          prompt: `${width(a, digits)}+${width(b, digits)}=`,
          completion: isLong ? `${columnsOf(a, b)}=${total}` : total,
          answer: sum,
          group: `${Math.max(String(a).length, String(b).length)} digits`,
          difficulty,
          ...(scratchpad > 0 ? { mode: isLong ? "long" : "short" } : {}),
        };
      },
    };
  },
});
