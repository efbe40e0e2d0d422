/**
 * Elementary functions from additions, products, quotients and square roots, which IEEE 754 rounds the same way
 * everywhere. Math.log, Math.exp and Math.sin may differ in the last digit between machines, and rows made with them
 * would too.
 */

const SCRATCH = new DataView(new ArrayBuffer(8));

/** Natural logarithm of a normal positive number, within a few units in the last place; -Infinity for 0. */
export function ln(x: number): number {
  if (x === 0) return Number.NEGATIVE_INFINITY;
  SCRATCH.setFloat64(0, x);
  const high = SCRATCH.getUint32(0);
  let exponent = (high >>> 20) - 1023;
  SCRATCH.setUint32(0, (high & 0x000fffff) | 0x3ff00000);
  let mantissa = SCRATCH.getFloat64(0); // [1, 2)
  if (mantissa > Math.SQRT2) {
    mantissa /= 2;
    exponent++;
  }
  // 2 artanh((m - 1) / (m + 1)); the argument is below 0.172, so 22 powers reach 1e-18.
  const z = (mantissa - 1) / (mantissa + 1);
  const square = z * z;
  let sum = 0;
  for (let power = 23; power >= 1; power -= 2) sum = sum * square + 1 / power;
  return exponent * Math.LN2 + 2 * z * sum;
}

/** The exponential of x <= 700, relative error below 1e-13; 0 below -700. */
export function exp(x: number): number {
  if (x < -700) return 0;
  const halvings = Math.round(x / Math.LN2);
  const rest = x - halvings * Math.LN2;
  let sum = 1;
  for (let k = 18; k >= 1; k--) sum = 1 + (sum * rest) / k;
  for (let k = 0; k < Math.abs(halvings); k++) sum = halvings > 0 ? sum * 2 : sum / 2;
  return sum;
}

/** Sine of an angle in radians, |x| <= 4. */
export function sin(x: number): number {
  let sum = 0;
  for (let k = 33; k >= 1; k -= 2) sum = 1 - (sum * x * x) / ((k + 1) * (k + 2));
  return x * sum;
}

/** Cosine of an angle in radians, |x| <= 4. */
export const cos = (x: number): number => (Math.abs(x) <= 2 ? sin(Math.PI / 2 - x) : -sin(Math.abs(x) - Math.PI / 2));
