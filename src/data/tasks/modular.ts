/**
 * Arithmetic modulo p: every pair (a, b) once, shared out among the splits. A model that has only memorised its pairs
 * fails on the others; one that has found the rule does not (Power et al. 2022, "grokking").
 */
import { UserError } from "../../errors.ts";
import { permutation } from "../random.ts";
import { task } from "../task.ts";

type Operation = "add" | "subtract" | "multiply" | "divide" | "square-sum";

const SIGNS: Readonly<Record<Operation, string>> = {
  add: "+",
  subtract: "-",
  multiply: "*",
  divide: "/",
  "square-sum": "^2+",
};

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return n >= 2;
}

/** base ** exponent mod p, for p <= 2^26. */
function power(base: number, exponent: number, p: number): number {
  let result = 1 % p;
  for (let square = base % p, left = exponent; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = (result * square) % p;
    square = (square * square) % p;
  }
  return result;
}

function compute(operation: Operation, a: number, b: number, p: number): number {
  if (operation === "add") return (a + b) % p;
  if (operation === "subtract") return (a - b + p) % p;
  if (operation === "multiply") return (a * b) % p;
  if (operation === "divide") return (a * power(b, p - 2, p)) % p; // Fermat's inverse
  return (a * a + b * b) % p;
}

export const method = task({
  name: "modular",
  title: "Modular arithmetic",
  about: "all pairs (a op b) mod p, shared out among the splits",
  cite: "arXiv:2201.02177",
  splits: "every ordered pair is in exactly one split, the same one for every seed; the seed only orders the rows",
  options: {
    modulus: {
      type: "2 <= number.integer <= 10000",
      default: 97,
      value: "P",
      help: "p, the number that results are taken modulo",
    },
    operation: {
      type: "'add' | 'subtract' | 'multiply' | 'divide' | 'square-sum'",
      default: "add",
      help: "op; divide needs a prime p and leaves b = 0 out; square-sum is a^2 + b^2",
    },
    train_fraction: {
      type: "0 < number < 1",
      default: 0.5,
      help: "share of the pairs that is train; the rest is halved",
    },
  },

  laws: {
    apart: true,
    distinctRows: true,
    answered: true,
    endless: "there are as many rows as pairs",
  },
  content: ({ a, b }) => `${a},${b}`,
  trials: [{}, { modulus: 13, operation: "divide" }],

  open({ seed, split }, { modulus: p, operation, train_fraction }) {
    if (operation === "divide" && !isPrime(p))
      throw new UserError(`--operation divide needs a prime modulus, and ${p} is not prime`, "97 and 113 are primes");
    const divisors = operation === "divide" ? p - 1 : p;
    const pairs = p * divisors;
    const train = Math.round(pairs * train_fraction);
    const validation = Math.floor((pairs - train) / 2);
    const [from, rows] = {
      train: [0, train],
      validation: [train, validation],
      test: [train + validation, pairs - train - validation],
    }[split] as [number, number];
    const place = permutation(pairs, "modular", p, operation);
    const order = rows === 0 ? (i: number) => i : permutation(rows, seed, "modular", split);
    return {
      rows,
      facts: { pairs, pairs_of_split: rows, chance: 1 / p },
      row(index) {
        const pair = place(from + order(index));
        const a = Math.floor(pair / divisors);
        const b = (pair % divisors) + (p - divisors);
        const answer = String(compute(operation, a, b, p));
        const right = operation === "square-sum" ? `${b}^2` : String(b);
        return { prompt: `${a}${SIGNS[operation]}${right} mod ${p} =`, completion: ` ${answer}`, answer, a, b };
      },
    };
  },
});
