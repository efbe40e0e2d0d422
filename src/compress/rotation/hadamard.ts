/**
 * Hadamard matrices: entries of 1 and -1, rows orthogonal. Sylvester's doubling of those of Paley, 1933: of order q + 1
 * for a prime q = 3 mod 4, and of order 2 (q + 1) for a prime q = 1 mod 4.
 */
import { keyedUnits } from "../../keyed-random.ts";

/** A square matrix of 1 and -1, row by row. */
type Signs = Int8Array<ArrayBuffer>;

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}

/** Q[i, j] = chi(i - j) for the residues of a prime: 0 on the diagonal, 1 for squares, -1 for others. */
function jacobsthal(q: number): Signs {
  const squares = new Set(Array.from({ length: q - 1 }, (_, i) => (i + 1) ** 2 % q));
  return Int8Array.from({ length: q * q }, (_, k) => {
    const difference = (Math.floor(k / q) - (k % q) + q) % q;
    return difference === 0 ? 0 : squares.has(difference) ? 1 : -1;
  });
}

/** Paley's first: I + S, S the residues bordered by 1 and -1. */
function paleyFirst(q: number): Signs {
  const [n, residues] = [q + 1, jacobsthal(q)];
  return Int8Array.from({ length: n * n }, (_, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    if (i === 0) return 1;
    if (j === 0) return -1;
    return (i === j ? 1 : 0) + residues[(i - 1) * q + j - 1]!;
  });
}

/** Paley's second: each entry of the symmetric bordered residues becomes a matrix of two. */
function paleySecond(q: number): Signs {
  const [half, residues] = [q + 1, jacobsthal(q)];
  const n = 2 * half;
  return Int8Array.from({ length: n * n }, (_, k) => {
    const [i, j] = [Math.floor(k / n), k % n];
    const [r, c] = [i >> 1, j >> 1];
    const isLower = (i & 1) === 1 && (j & 1) === 1;
    // 0 stands for [[1, -1], [-1, -1]], 1 for [[1, 1], [1, -1]].
    if (r === c) return (i & 1) === 0 && (j & 1) === 0 ? 1 : -1;
    const value = r === 0 || c === 0 ? 1 : residues[(r - 1) * q + c - 1]!;
    return isLower ? -value : value;
  });
}

function doubled(signs: Signs, n: number): Signs {
  return Int8Array.from({ length: 4 * n * n }, (_, k) => {
    const [i, j] = [Math.floor(k / (2 * n)), k % (2 * n)];
    const value = signs[(i % n) * n + (j % n)]!;
    return i >= n && j >= n ? -value : value;
  });
}

/** A Hadamard matrix of order n; undefined where none of these constructions has it. */
export function hadamard(n: number): Signs | undefined {
  if (n === 1) return Int8Array.of(1);
  if (n === 2) return Int8Array.of(1, 1, 1, -1);
  if (n % 4 !== 0) return undefined;
  const half = hadamard(n / 2);
  if (half) return doubled(half, n / 2);
  if (isPrime(n - 1)) return paleyFirst(n - 1);
  const q = n / 2 - 1;
  return q % 4 === 1 && isPrime(q) ? paleySecond(q) : undefined;
}

/** An orthogonal matrix (n, n), f32: a Hadamard matrix whose rows have random signs, by seed and name. */
export function randomRotation(n: number, seed: number, name: string): Float32Array | undefined {
  const signs = hadamard(n);
  if (!signs) return undefined;
  const unit = keyedUnits(seed, name);
  const rows = Float32Array.from({ length: n }, () => (unit() < 0.5 ? -1 : 1) / Math.sqrt(n));
  return Float32Array.from(signs, (sign, k) => sign * rows[Math.floor(k / n)]!);
}
